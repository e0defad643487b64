// Generated from clients/js/src by `npm run page` there. Do not edit.

// Everything that applications use.
export { fullJitter } from './backoff.js';
export { Client } from './client.js';
export { ChatError } from './errors.js';
