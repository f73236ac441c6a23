/** User name and password: requested when the service needs them, kept in this tab only. */

import { byId, tellProblem } from "./dom.js";
import { basicAuthorization } from "./service.js";

const KEY = "age-gender-account";

/** Fires `change` when the user signs in or out. */
export class Account extends EventTarget {
  /** @type {{username: string, password: string} | null} */
  #held = restore();
  #dialog = /** @type {HTMLDialogElement} */ (byId("sign-in"));
  #button = byId("account");

  constructor() {
    super();
    this.#button.addEventListener("click", () => (this.#held ? this.#set(null) : this.ask()));
    byId("sign-in-cancel").addEventListener("click", () => this.#dialog.close());
    byId("sign-in-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const password = /** @type {HTMLInputElement} */ (byId("password"));
      const username = /** @type {HTMLInputElement} */ (byId("username")).value;
      this.#set({ username, password: password.value });
      password.value = "";
      this.#dialog.close();
    });
    this.#render();
  }

  /** Value for the `Authorization` header, if the user is signed in. */
  get authorization() {
    return this.#held ? basicAuthorization(this.#held.username, this.#held.password) : undefined;
  }

  get username() {
    return this.#held?.username ?? "";
  }

  /**
   * Open the dialogue.
   *
   * @param {string} [problem] what was wrong with the last try
   */
  ask(problem = "") {
    tellProblem(byId("sign-in-problem"), problem);
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** @param {{username: string, password: string} | null} account */
  #set(account) {
    this.#held = account;
    try {
      if (account) sessionStorage.setItem(KEY, JSON.stringify(account));
      else sessionStorage.removeItem(KEY);
    } catch {
      // Storage is disabled: it stays in memory.
    }
    this.#render();
    this.dispatchEvent(new Event("change"));
  }

  #render() {
    this.#button.textContent = this.#held ? "Sign out" : "Sign in";
    this.#button.title = this.#held ? `Signed in as ${this.#held.username}` : "";
  }
}

function restore() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  } catch {
    return null;
  }
}
