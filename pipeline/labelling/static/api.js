// Requests to the label server. A refusal is thrown with the reason that the server gave.

export class Refusal extends Error {
  constructor(status, body) {
    super(body.detail || body.reason || String(status));
    this.status = status;
    this.reason = body.reason || "failed";
    this.body = body;
  }
}

async function answer(path, method, sent, headers) {
  const told = sent === undefined ? { ...headers } : { "Content-Type": "application/json", ...headers };
  const body = sent === undefined ? undefined : JSON.stringify(sent);
  const response = await fetch(path, { method, body, headers: told, cache: "no-store", credentials: "same-origin" });
  if (!response.ok) {
    throw new Refusal(response.status, await response.json().catch(() => ({})));
  }
  return response;
}

const json = async (path, method = "GET", sent = undefined, headers = {}) =>
  (await answer(path, method, sent, headers)).json();

export const progress = async () => (await json("/api/progress")).frames;
export const objects = async () => (await json("/api/objects")).objects;
export const frame = (number) => json(`/api/frames/${number}`);
export const addObject = async (name) => (await json("/api/objects", "POST", { class: name })).id;
export const reclassify = (id, name) => json(`/api/objects/${id}`, "PUT", { class: name });
export const interpolate = (id, kind) => json(`/api/objects/${id}/interpolation`, "POST", { kind });
export const picture = async (path) => createImageBitmap(await (await answer(path, "GET")).blob());
export const save = (number, revision, labels) =>
  json(`/api/frames/${number}`, "PUT", { labels }, { "If-Match": `"${revision}"` });
export const review = (number, revision, reviews) =>
  json(`/api/frames/${number}/reviews`, "PUT", { reviews }, { "If-Match": `"${revision}"` });
