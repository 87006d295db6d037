// Beckon's client for Node.js producers.
'use strict';

const { Client } = require('./client.cjs');
const errors = require('./errors.cjs');

module.exports = {
  Client,
  BeckonError: errors.BeckonError,
  BufferFullError: errors.BufferFullError,
  ClientClosedError: errors.ClientClosedError,
  DeliveryError: errors.DeliveryError,
  InvalidConfigurationError: errors.InvalidConfigurationError,
  InvalidBodyError: errors.InvalidBodyError,
  RejectedError: errors.RejectedError,
  UnavailableError: errors.UnavailableError,
};
