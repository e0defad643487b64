// The frames of the native WebSocket protocol (docs/protocol.md), and reading them: a frame that is not of its shape
// comes out as nothing.

/** What every event of a conversation has. Per conversation `seq` is gapless and starts at 1. */
interface EventOf<Type extends string> {
  type: Type;
  conversationId: string;
  seq: number;
  /** RFC 3339, UTC. */
  createdAt: string;
}

export interface Message extends EventOf<'MESSAGE'> {
  messageId: string;
  clientMsgId: string;
  senderId: string;
  content: string;
  threadRootId?: string;
  attachmentIds?: string[];
}

export interface MessageEdited extends EventOf<'MESSAGE_EDITED'> {
  messageId: string;
  userId: string;
  content: string;
  version: number;
}

export interface MessageDeleted extends EventOf<'MESSAGE_DELETED'> {
  messageId: string;
  userId: string;
}

export interface ReactionAdded extends EventOf<'REACTION_ADDED'> {
  messageId: string;
  userId: string;
  emoji: string;
}

export interface ReactionRemoved extends EventOf<'REACTION_REMOVED'> {
  messageId: string;
  userId: string;
  emoji: string;
}

export interface MessagePinned extends EventOf<'MESSAGE_PINNED'> {
  messageId: string;
  userId: string;
}

export interface MessageUnpinned extends EventOf<'MESSAGE_UNPINNED'> {
  messageId: string;
  userId: string;
}

/** `actorId` is who added them; the same as `userId` for those who joined by themselves. */
export interface UserJoined extends EventOf<'USER_JOINED'> {
  userId: string;
  actorId: string;
}

export interface UserLeft extends EventOf<'USER_LEFT'> {
  userId: string;
  actorId: string;
}

/**
 * One event of a conversation's ordered log. A newer server may send kinds that are not listed here: they take a seq and
 * are handed out like the others, so a `switch` needs its `default`.
 */
export type ConversationEvent =
  | Message
  | MessageEdited
  | MessageDeleted
  | ReactionAdded
  | ReactionRemoved
  | MessagePinned
  | MessageUnpinned
  | UserJoined
  | UserLeft;

/** Events `from..=to` of a conversation will not be handed out: read them by REST where they matter. */
export interface MissedRange {
  conversationId: string;
  from: number;
  to: number;
}

export interface Typing {
  type: 'TYPING';
  conversationId: string;
  userId: string;
  isTyping: boolean;
}

/** `userId` received or read this message of yours, and all of yours before it. */
export interface Status {
  type: 'STATUS';
  messageId: string;
  conversationId: string;
  status: 'SENT' | 'DELIVERED' | 'READ';
  userId: string;
  seq?: number;
  timestamp: string;
}

export interface Presence {
  type: 'PRESENCE';
  userId: string;
  online: boolean;
  /** Since when, RFC 3339, UTC. */
  since?: string;
}

/** A record that others put on `message.created` for a room: not part of the conversation's log. */
export interface RoomRecord {
  type: 'message';
  roomId: string;
  /** Its place on the topic; none where somebody published it by hand. */
  id?: string;
  data: unknown;
}

/** Records of the room may be missing: behind the one of this id, where the server says which. */
export interface Gap {
  type: 'GAP';
  roomId: string;
  since?: string;
}

/** The room is heard no more. */
export interface Left {
  type: 'LEFT';
  roomId: string;
}

export interface Notification {
  type: 'NOTIFICATION';
  notification: { type: string; relatedEntityId?: string; [member: string]: unknown };
}

/** A refusal of the server, with one of the stable codes of docs/protocol.md. */
export interface Refusal {
  type: 'ERROR';
  code: string;
  message: string;
  clientMsgId?: string;
  /** Of a room that was not to be joined. */
  roomId?: string;
}

export interface Connected {
  type: 'CONNECTED';
  sessionId: string;
  userId: string;
  heartbeatMs: number;
}

export interface Ack {
  type: 'ACK';
  clientMsgId: string;
  messageId: string;
  conversationId: string;
  seq: number;
}

export interface Resync {
  type: 'RESYNC';
  conversationId: string;
  from: number;
  head: number;
}

/** The room's events behind `seq` follow; 0 of a room that no conversation has. */
export interface Joined {
  type: 'JOINED';
  roomId: string;
  seq: number;
}

/** Opaque: handed back in CONNECT, it says where to go on in every conversation at once. */
export interface Position {
  type: 'POSITION';
  position: string;
}

export type ServerFrame =
  | { type: 'EVENT'; event: ConversationEvent }
  | Connected
  | Ack
  | Resync
  | Position
  | Typing
  | Status
  | Presence
  | Notification
  | RoomRecord
  | Joined
  | Gap
  | Left
  | Refusal
  | { type: 'PONG' };

export type ClientFrame =
  | { type: 'CONNECT'; token: string; resume: Record<string, number>; position?: string }
  | {
      type: 'SEND';
      clientMsgId: string;
      conversationId: string;
      content: string;
      threadRootId?: string;
      attachmentIds?: string[];
    }
  | { type: 'TYPING'; conversationId: string; isTyping: boolean }
  | { type: 'RECEIPT'; conversationId: string; deliveredSeq?: number; readSeq?: number }
  | { type: 'JOIN'; roomId: string; after?: number; history?: number; since?: string }
  | { type: 'LEAVE'; roomId: string }
  | { type: 'PING' };

type Members = Record<string, unknown>;

const isText = (value: unknown): value is string => typeof value === 'string';

/** True of what can be the seq of an event. */
export const isSeq = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isBoolean = (value: unknown) => typeof value === 'boolean';
const isObject = (value: unknown): value is Members => typeof value === 'object' && value !== null;

/** What must be there, by type, before the rest of the client relies on it. */
const SHAPES: Record<string, Record<string, (value: unknown) => boolean>> = {
  CONNECTED: { userId: isText },
  ACK: { clientMsgId: isText, messageId: isText, conversationId: isText, seq: isSeq },
  RESYNC: { conversationId: isText, from: isSeq, head: isSeq },
  POSITION: { position: isText },
  TYPING: { conversationId: isText, userId: isText, isTyping: isBoolean },
  STATUS: { conversationId: isText, messageId: isText, status: isText, userId: isText },
  PRESENCE: { userId: isText, online: isBoolean },
  NOTIFICATION: { notification: isObject },
  JOINED: { roomId: isText, seq: isCount },
  message: { roomId: isText },
  GAP: { roomId: isText },
  LEFT: { roomId: isText },
  ERROR: { code: isText },
  PONG: {},
};

/** One text frame of the server; undefined for what this client has no use for. */
export function parseFrame(text: unknown): ServerFrame | undefined {
  if (!isText(text)) return undefined;
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(frame) || !isText(frame.type)) return undefined;
  const shape = Object.hasOwn(SHAPES, frame.type) ? SHAPES[frame.type] : undefined;
  if (shape) {
    for (const [name, fits] of Object.entries(shape)) if (!fits(frame[name])) return undefined;
    return frame as unknown as ServerFrame;
  }
  // whatever has a place in a conversation's log is an event of it, kinds to come included
  if (!isText(frame.conversationId) || !isSeq(frame.seq)) return undefined;
  return { type: 'EVENT', event: frame as unknown as ConversationEvent };
}
