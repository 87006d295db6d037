// The same module for `import`: one set of classes, however it is loaded.
import client from './index.cjs';

export const {
  Client,
  BeckonError,
  BufferFullError,
  ClientClosedError,
  DeliveryError,
  InvalidConfigurationError,
  InvalidBodyError,
  RejectedError,
  UnavailableError,
} = client;
