/** Which model this service uses, its terms and its data; shown whether or not there is a picture. */

import { byId, make } from "./dom.js";

/** Fetch `GET /model` and show it; a page without it works all the same. */
export async function showModel() {
  try {
    const response = await fetch(new URL("model", document.baseURI));
    if (!response.ok) throw new Error(`status ${response.status}`);
    const { name, version, licence, data } = await response.json();
    byId("model").replaceChildren(make("strong", {}, `${name} ${version}`), `, licence ${licence}`);
    byId("model-data").textContent = data;
  } catch (error) {
    console.info("the model could not be named", error);
  }
}
