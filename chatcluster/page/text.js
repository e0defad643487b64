// Words and numbers for people: times, initials, links found in a text. Pure.

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekdayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const dateFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const longFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const yearFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const DAY_MS = 86_400_000;
const COLOURS = 10;

export function clock(date) {
  return clockFormat.format(date);
}

export function fullTime(date) {
  return fullFormat.format(date);
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}

/** Whole calendar days from `date` to `now`. */
function daysAgo(date, now) {
  return Math.round((startOfDay(now) - startOfDay(date)) / DAY_MS);
}

export function dayKey(date) {
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}

export function dayLabel(date, now = new Date()) {
  const days = daysAgo(date, now);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return date.getFullYear() === now.getFullYear() ? longFormat.format(date) : yearFormat.format(date);
}

/** For a narrow column: the time today, the weekday this week, else the date. */
export function shortTime(date, now = new Date()) {
  const days = daysAgo(date, now);
  if (days <= 0) return clock(date);
  if (days === 1) return 'Yesterday';
  return days < 7 ? weekdayFormat.format(date) : dateFormat.format(date);
}

export function initials(name) {
  const words = name.split(/[\s,._-]+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[1]].map(firstLetter) : [firstLetter(words[0] ?? '?')];
  return letters.join('').toUpperCase();
}

function firstLetter(word) {
  return String.fromCodePoint(word.codePointAt(0));
}

/** The same id has the same colour everywhere: a class `tint-0` to `tint-9`. */
export function tint(id) {
  let hash = 7;
  for (const character of id) hash = (Math.imul(hash, 31) + character.codePointAt(0)) >>> 0;
  return `tint-${hash % COLOURS}`;
}

/** `[{text}, {text, href}]`: only http and https become links. */
export function pieces(text) {
  const found = [];
  let done = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"]+/giu)) {
    const address = withoutTrailing(match[0]);
    if (!isWebAddress(address)) continue;
    if (match.index > done) found.push({ text: text.slice(done, match.index) });
    found.push({ text: address, href: address });
    done = match.index + address.length;
  }
  if (done < text.length) found.push({ text: text.slice(done) });
  return found;
}

/** The full stop after an address, and a bracket around it, belong to the sentence. */
function withoutTrailing(address) {
  let end = address.length;
  while (end > 0) {
    const last = address[end - 1];
    const isUnopened = last === ')' && !address.slice(0, end).includes('(');
    if (!/[.,;:!?'\]}*_]/u.test(last) && !isUnopened) break;
    end -= 1;
  }
  return address.slice(0, end);
}

function isWebAddress(address) {
  try {
    const { protocol, hostname } = new URL(address);
    return (protocol === 'http:' || protocol === 'https:') && hostname !== '';
  } catch {
    return false;
  }
}

const EMOJI =
  /^(?:\p{Extended_Pictographic}(?:[\u{FE0F}\u{1F3FB}-\u{1F3FF}]|\u{200D}\p{Extended_Pictographic})*|\p{Regional_Indicator}{2}){1,4}$/u;

/** A few emoji and nothing else are shown large. */
export function isOnlyEmoji(text) {
  return text.length <= 60 && EMOJI.test(text.replace(/\s/gu, ''));
}

/** "Ann", "Ann and Bob", "Ann, Bob and 3 others" */
export function nameList(names, most = 3) {
  if (names.length <= 1) return names[0] ?? '';
  if (names.length <= most) return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  const rest = names.length - (most - 1);
  return `${names.slice(0, most - 1).join(', ')} and ${rest} others`;
}

/** A server's details start in lower case; people read sentences. */
export function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/u.test(whole) ? whole : `${whole}.`;
}
