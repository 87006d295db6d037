// Limits of the API, generated from its OpenAPI document by `make clients`; do not edit.
'use strict';

module.exports = Object.freeze({
  MAX_TRIGGERS: 1000,
  MAX_EXECUTIONS: 500,
});
