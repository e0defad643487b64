// The sign-in and sign-up screen.

import { byId, say, setText } from './dom.js';

const SHORTEST_PASSWORD = 8;

export class AuthView {
  #isSignUp = false;
  #isBusy = false;

  /** `onEnter()` is called once the api holds tokens. */
  constructor({ api, onEnter }) {
    this.api = api;
    this.onEnter = onEnter;
    byId('auth-mode-in').addEventListener('click', () => this.#mode(false));
    byId('auth-mode-up').addEventListener('click', () => this.#mode(true));
    byId('auth-reveal').addEventListener('click', () => this.#reveal(byId('auth-password').type === 'password'));
    byId('auth-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  show(reason = '') {
    byId('auth').hidden = false;
    byId('auth-password').value = '';
    this.#reveal(false);
    say(byId('auth-error'), reason);
    byId(byId('auth-username').value ? 'auth-password' : 'auth-username').focus();
  }

  hide() {
    byId('auth').hidden = true;
    byId('auth-password').value = '';
  }

  #mode(isSignUp) {
    this.#isSignUp = isSignUp;
    byId('auth-mode-in').setAttribute('aria-pressed', String(!isSignUp));
    byId('auth-mode-up').setAttribute('aria-pressed', String(isSignUp));
    for (const id of ['auth-name-field', 'auth-username-rule', 'auth-password-rule']) byId(id).hidden = !isSignUp;
    const password = byId('auth-password');
    password.autocomplete = isSignUp ? 'new-password' : 'current-password';
    if (isSignUp) password.setAttribute('aria-describedby', 'auth-password-rule');
    else password.removeAttribute('aria-describedby');
    setText(byId('auth-submit'), isSignUp ? 'Create account' : 'Sign in');
    say(byId('auth-error'), '');
    byId('auth-username').focus();
  }

  #reveal(isShown) {
    byId('auth-password').type = isShown ? 'text' : 'password';
    const button = byId('auth-reveal');
    button.setAttribute('aria-pressed', String(isShown));
    button.setAttribute('aria-label', isShown ? 'Hide password' : 'Show password');
    setText(button, isShown ? 'Hide' : 'Show');
  }

  /** What is wrong before anything is sent: `[field id, sentence]`. */
  #complaint({ username, password }) {
    if (!username) return ['auth-username', 'Please enter a username.'];
    if (!password) return ['auth-password', 'Please enter a password.'];
    if (this.#isSignUp && password.length < SHORTEST_PASSWORD) {
      return ['auth-password', `The password needs at least ${SHORTEST_PASSWORD} characters.`];
    }
    return null;
  }

  async #submit() {
    if (this.#isBusy) return;
    const username = byId('auth-username').value.trim();
    const password = byId('auth-password').value;
    const displayName = byId('auth-name').value.trim() || username;
    const complaint = this.#complaint({ username, password });
    say(byId('auth-error'), complaint?.[1]);
    if (complaint) {
      byId(complaint[0]).focus();
      return;
    }
    this.#busy(true);
    try {
      if (this.#isSignUp) await this.api.signUp({ username, password, displayName });
      await this.api.signIn({ username, password });
      await this.onEnter();
      this.#mode(false);
    } catch (error) {
      say(byId('auth-error'), error.message);
    } finally {
      this.#busy(false);
    }
  }

  #busy(isBusy) {
    this.#isBusy = isBusy;
    byId('auth-submit').disabled = isBusy;
    byId('auth-form').setAttribute('aria-busy', String(isBusy));
  }
}
