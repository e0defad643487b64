// Everything that applications use.

export { type BackoffOptions, fullJitter } from './backoff.js';
export { Client, type ClientEvents } from './client.js';
export type { Clock } from './clock.js';
export type { WebSocketConstructor, WebSocketLike } from './connection.js';
export type { ResumePoint } from './cursors.js';
export type { SendOptions } from './draft.js';
export { ChatError } from './errors.js';
export type {
  ConversationEvent,
  Gap,
  Left,
  Message,
  MessageDeleted,
  MessageEdited,
  MessagePinned,
  MessageUnpinned,
  MissedRange,
  Notification,
  Presence,
  ReactionAdded,
  ReactionRemoved,
  Refusal,
  RoomRecord,
  Status,
  Typing,
  UserJoined,
  UserLeft,
} from './frames.js';
export type { Handlers } from './intake.js';
export type { LaneLimits } from './lanes.js';
export type { State, StateChange, Token } from './lifeline.js';
export type { ClientOptions } from './options.js';
export type { Draft, OutboxLimits, Sent } from './outbox.js';
export type { ChatStorage } from './persistence.js';
export type { JoinOptions } from './rooms.js';
