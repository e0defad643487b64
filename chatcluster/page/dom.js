// The few DOM moves that the views share. Data becomes text nodes and attributes here, never markup.

import { initials, tint } from './text.js';

export function byId(id) {
  return document.getElementById(id);
}

/** `el('p', {class: 'x', 'aria-label': 'y', onclick: f}, 'text', node)`; absent children are passed over. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows a text in an element that is hidden without one. */
export function say(node, text) {
  node.hidden = !text;
  setText(node, text ?? '');
}

export function paintAvatar(node, { id, name, mark }) {
  setText(node, mark ?? initials(name));
  for (const known of [...node.classList]) {
    if (known.startsWith('tint-')) node.classList.remove(known);
  }
  node.classList.add(tint(id));
  return node;
}

/**
 * Makes `parent`'s children be those of `items`, `[{key, signature, make}]`: a node is kept while its key and signature
 * stay the same, so that focus, selection and scroll survive what did not change.
 */
export function reconcile(parent, items) {
  const known = parent.reconciled ?? new Map();
  const next = new Map();
  let focused = parent.contains(document.activeElement) ? document.activeElement : null;
  let cursor = parent.firstChild;
  for (const { key, signature, make } of items) {
    let entry = known.get(key);
    known.delete(key);
    if (entry?.signature !== signature) {
      const node = make();
      node.dataset.key = key;
      if (entry) {
        if (cursor === entry.node) cursor = node;
        node.classList.add('settled');
        if (entry.node.contains(focused)) focused = node.querySelector('button, a, [tabindex]') ?? null;
        entry.node.replaceWith(node);
      }
      entry = { signature, node };
    }
    next.set(key, entry);
    if (entry.node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(entry.node, cursor);
  }
  for (const { node } of known.values()) node.remove();
  parent.reconciled = next;
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}
