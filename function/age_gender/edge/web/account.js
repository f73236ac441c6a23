/** User name and password: requested when the service needs them, kept in this tab only. */

import { byId, make, tellProblem } from "./dom.js";
import { basicAuthorization } from "./service.js";

const KEY = "age-gender-account";
const WRONG = "The user name or the password is wrong.";

/** Fires `change` when the user signs in or out, and `closed` when the dialogue is left. */
export class Account extends EventTarget {
  /** @type {{username: string, password: string} | null} */
  #held = restore();
  #dialog = buildDialog();
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
    this.#dialog.addEventListener("close", () => this.dispatchEvent(new Event("closed")));
    this.#render();
  }

  /** Value for the `Authorization` header, if the user is signed in. */
  get authorization() {
    return this.#held ? basicAuthorization(this.#held.username, this.#held.password) : undefined;
  }

  get username() {
    return this.#held?.username ?? "";
  }

  /** Whether the dialogue is open. */
  get asking() {
    return this.#dialog.open;
  }

  /**
   * Open the dialogue and wait until it is left.
   *
   * @returns {Promise<boolean>} whether there are other credentials now
   */
  async asked() {
    const before = this.#held;
    this.askAgain();
    await new Promise((done) => this.addEventListener("closed", done, { once: true }));
    return this.#held !== null && this.#held !== before;
  }

  /** Ask because credentials are missing or were refused. */
  askAgain() {
    this.ask(this.#held ? WRONG : "");
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

/** The dialogue, which every page has. */
function buildDialog() {
  const dialog = /** @type {HTMLDialogElement} */ (
    make(
      "dialog",
      { id: "sign-in", "aria-labelledby": "sign-in-title" },
      make(
        "form",
        { id: "sign-in-form" },
        make("h2", { id: "sign-in-title" }, "Sign in"),
        make(
          "p",
          { className: "hint" },
          "Use the user name and password of this service. They are kept in this tab only and " +
            "forgotten when it closes.",
        ),
        make("p", {
          className: "field-problem",
          id: "sign-in-problem",
          role: "alert",
          hidden: true,
        }),
        make("label", { htmlFor: "username" }, "User name"),
        make("input", {
          id: "username",
          autocomplete: "username",
          autocapitalize: "none",
          spellcheck: false,
          required: true,
        }),
        make("label", { htmlFor: "password" }, "Password"),
        make("input", {
          id: "password",
          type: "password",
          autocomplete: "current-password",
          required: true,
        }),
        make(
          "div",
          { className: "row end" },
          make("button", { type: "button", className: "button", id: "sign-in-cancel" }, "Cancel"),
          make("button", { type: "submit", className: "button primary" }, "Sign in"),
        ),
      ),
    )
  );
  document.body.append(dialog);
  return dialog;
}

function restore() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  } catch {
    return null;
  }
}
