/** The little that this page needs on top of the DOM. */

/**
 * The element with this id, which the page is known to have.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  return /** @type {T} */ (document.getElementById(id));
}

/**
 * Make an element. Texts go in as text, so nothing from outside is ever read as HTML.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] `aria-…` and `data-…` become attributes, the rest
 *   properties.
 * @param {...(Node | string)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.includes("-")) element.setAttribute(name, String(value));
    else Object.assign(element, { [name]: value });
  }
  element.append(...children);
  return element;
}

/**
 * Show a problem under a field, or take it away.
 *
 * @param {HTMLElement} place
 * @param {string} text empty for none
 * @param {HTMLInputElement} [field]
 */
export function tellProblem(place, text, field) {
  place.textContent = text;
  place.hidden = text === "";
  if (!field) return;
  if (text) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
}

/**
 * Show or hide a part of the page; the focus moves on to another when what had it goes.
 *
 * @param {HTMLElement} part
 * @param {boolean} shown
 * @param {HTMLElement} next
 */
export function showPart(part, shown, next) {
  const had = part.contains(document.activeElement);
  part.hidden = !shown;
  if (had && !shown) next.focus();
}

/**
 * Call `action` once things have been quiet for `milliseconds`.
 *
 * @param {() => void} action
 * @param {number} milliseconds
 */
export function debounced(action, milliseconds) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}

/**
 * Hand a file to the browser's downloads.
 *
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const href = URL.createObjectURL(blob);
  const link = make("a", { href, download: name });
  link.click();
  // Not at once: some browsers read the blob only after the click has been handled.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
