// The editor of a labelling task: one frame at a time, saved by itself. The server decides on everything.

import * as api from "./api.js";
import { Panels, colourOf } from "./panels.js";
import { area, boxOf, contains, dragged, extent, moved, resized } from "./shapes.js";
import { View } from "./view.js";

const given = JSON.parse(document.querySelector("#given").textContent);
const words = given.words;
const find = (query) => document.querySelector(query);
const SAVE_AFTER = 600;
const RETRY_AFTER = 3000;
const MOST_UNDONE = 100;
const labelling = given.role === "annotator";

const view = new View(find("#canvas"));
view.editing = labelling;
const state = {
  number: 0, revision: 0, labels: [], selected: null, objects: [], progress: [],
  tool: "select", drawn: given.classes[0], object: null, draft: null, drag: null,
  changes: 0, savedChanges: 0, verdicts: [], undo: [], last: new Map(), space: false, ended: false,
};
const panels = new Panels(given, state, {
  select, choose, selectObject, remove, confirm, reclassify, setAttribute, interpolate, placeHere, verdict, goTo,
});

// What the person sees of saving

function tell(name, more = "") {
  const place = find("#state");
  place.dataset.state = name === "save_failed" || name === "refused" ? "failed" : name;
  place.textContent = words[name] + more;
}

let noticeTimer = 0;
function notice(text, kind = "bad") {
  const place = find("#notice");
  place.dataset.kind = kind;
  place.textContent = text;
  place.hidden = !text;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => (place.hidden = true), 8000);
}

function end(reason) {
  if (reason !== "session_ended") {
    view.forget();
    state.labels = state.labels.filter(() => false);
    state.objects = [];
    state.ended = true;
    panels.show();
  }
  find("#ended-why").textContent = words[reason];
  find("#ended").hidden = false;
  find("#ended button").focus();
}

const ENDS = new Set(["label_task_over", "release_ended", "gate_unavailable"]);

function failed(error) {
  if (error instanceof api.Refusal && ENDS.has(error.reason)) {
    end(error.reason);
  } else if (error instanceof api.Refusal && error.status === 401) {
    end("session_ended");
  } else if (error instanceof api.Refusal && error.reason === "too_many_views") {
    notice(words.too_many_views);
  } else {
    notice(words.failed + error.message);
  }
}

// Frames

async function load(number) {
  tell("loading");
  const frame = await api.frame(number);
  const picture = await api.picture(frame.picture);
  state.number = number;
  state.revision = frame.revision;
  take(frame.labels);
  state.selected = null;
  state.draft = state.drag = null;
  state.undo = [];
  view.show(picture, { width: frame.width, height: frame.height });
  find("#number").value = number + 1;
  tell("saved");
  redraw();
}

function take(labels) {
  const chosen = state.selected;
  state.labels = labels.filter((label) => label.geometry.kind !== "cuboid");
  state.others = labels.filter((label) => label.geometry.kind === "cuboid");
  for (const label of state.labels) {
    state.last.set(`${label.object} ${label.geometry.kind}`, label);
  }
  state.selected = chosen && state.labels.find((label) => sameLabel(label, chosen)) || null;
}

const sameLabel = (a, b) => a.object === b.object && a.geometry.kind === b.geometry.kind;

async function goTo(number) {
  if (number < 0 || number >= given.frames || state.ended) {
    find("#number").value = state.number + 1;
    return;
  }
  try {
    await flush();
    if (unsaved()) {
      return;
    }
    await load(number);
    await refresh();
  } catch (error) {
    failed(error);
  }
}

async function refresh() {
  [state.objects, state.progress] = await Promise.all([api.objects(), api.progress()]);
  redraw();
}

function count(labels) {
  const of = (review) => labels.filter((label) => label.review === review).length;
  state.progress[state.number] = {
    revision: state.revision, labels: labels.length, open: of("open"), accepted: of("accepted"), rejected: of("rejected"),
  };
}

function redraw() {
  view.draw(state.labels, state.selected, state.draft, (label) => panels.look(label));
  panels.show();
}

// Saving: what changed is sent after a moment; a later change waits for the answer to the one before

let saving = null;
let timer = 0;

const unsaved = () => state.changes !== state.savedChanges || state.verdicts.length > 0;

function changed() {
  state.changes += 1;
  tell("unsaved");
  clearTimeout(timer);
  timer = setTimeout(() => flush().catch(failed), SAVE_AFTER);
  redraw();
}

function remember() {
  state.undo.push(structuredClone(state.labels));
  state.undo.splice(0, Math.max(0, state.undo.length - MOST_UNDONE));
}

async function flush() {
  clearTimeout(timer);
  while (unsaved() && !find("#conflict").open) {
    if (!(await (saving ??= saveOnce().finally(() => (saving = null))))) {
      return;
    }
  }
}

async function saveOnce() {
  tell("saving");
  const changes = state.changes, verdicts = state.verdicts;
  const sent = [...state.labels, ...state.others].map(({ object, geometry, attributes, confirmed }) =>
    ({ object, geometry, attributes, confirmed: Boolean(confirmed) }));
  try {
    const answer = labelling
      ? await api.save(state.number, state.revision, sent)
      : await api.review(state.number, state.revision, verdicts);
    state.revision = answer.revision;
    state.savedChanges = changes;
    state.verdicts = state.verdicts.slice(verdicts.length);
    if (!unsaved() && !state.drag) {
      take(answer.labels);
    }
    count(answer.labels);
    tell("saved", ` ${new Date(answer.at).toLocaleTimeString(document.documentElement.lang)}`);
    redraw();
    return true;
  } catch (error) {
    if (error instanceof api.Refusal && error.status === 412) {
      askConflict(error.body);
    } else if (error instanceof api.Refusal && error.body.kept !== undefined) {
      state.savedChanges = changes;
      end(error.reason);
    } else if (error instanceof api.Refusal && error.status < 500) {
      tell("refused", error.message);
      failed(error);
    } else {
      tell("save_failed");
      timer = setTimeout(() => flush().catch(failed), RETRY_AFTER);
    }
    return false;
  }
}

let conflict = null;

function askConflict(body) {
  conflict = body.last;
  const at = new Date(conflict.at).toLocaleTimeString(document.documentElement.lang);
  find("#conflict-by").textContent = `${conflict.by} · ${at}`;
  tell("unsaved");
  find("#conflict").showModal();
}

async function settle(mine) {
  find("#conflict").close();
  state.revision = conflict.revision;
  if (mine) {
    await flush();
  } else {
    state.verdicts = [];
    state.savedChanges = state.changes;
    state.undo = [];
    take(conflict.labels);
    tell("saved");
  }
  await refresh();
}

// Labels

function select(label) {
  state.selected = label;
  state.object = label ? label.object : state.object;
  redraw();
}

function choose(drawn) {
  state.drawn = drawn;
  state.object = null;
  if (!drawn.geometry.includes(state.tool) && state.tool !== "select") {
    setTool(drawn.geometry[0]);
  }
  redraw();
}

function selectObject(id) {
  state.object = id;
  state.selected = state.labels.find((label) => label.object === id) || null;
  const known = state.objects.find((each) => each.id === id);
  state.drawn = given.classes.find((each) => each.name === known?.class) || state.drawn;
  redraw();
}

// A shape becomes a label: of the chosen object where it has none of that kind here, else of a new one.
async function add(geometry) {
  const taken = (id) => state.labels.some((label) => label.object === id && label.geometry.kind === geometry.kind);
  try {
    let id = state.object;
    if (id === null || taken(id)) {
      id = await api.addObject(state.drawn.name);
      state.objects = [...state.objects, { id, class: state.drawn.name }];
    }
    remember();
    const before = state.last.get(`${id} ${geometry.kind}`);
    const label = {
      object: id, geometry, attributes: { ...(before?.attributes || {}) }, source: `person:${given.person}`,
      confidence: null, key: true, review: "open", reviewer: null, reason: null,
    };
    state.labels = [...state.labels, label];
    state.last.set(`${id} ${geometry.kind}`, label);
    select(label);
    state.object = null;
    setTool("select");
    changed();
  } catch (error) {
    failed(error);
  }
}

function replaceSelected(change, quiet = false) {
  const was = state.selected;
  const now = { ...was, ...change };
  state.labels = state.labels.map((label) => (label === was ? now : label));
  state.last.set(`${now.object} ${now.geometry.kind}`, now);
  state.selected = now;
  if (quiet) {
    redraw();
  } else {
    changed();
  }
}

function reshape(geometry, quiet = false) {
  replaceSelected({ geometry, source: `person:${given.person}`, key: true, review: "open", reviewer: null, reason: null }, quiet);
}

function setAttribute(name, value) {
  remember();
  const attributes = { ...state.selected.attributes };
  if (value === null) {
    delete attributes[name];
  } else {
    attributes[name] = value;
  }
  replaceSelected({ attributes });
}

function remove() {
  if (labelling && state.selected) {
    remember();
    state.labels = state.labels.filter((label) => label !== state.selected);
    state.selected = null;
    changed();
  }
}

function confirm(labels) {
  const wanted = new Set(labels.filter((label) => label.source.startsWith("model@") || !label.key));
  if (!labelling || wanted.size === 0) {
    return;
  }
  remember();
  const mine = { confirmed: true, source: `person:${given.person}`, key: true, confidence: null };
  const chosen = state.selected;
  state.labels = state.labels.map((label) => (wanted.has(label) ? { ...label, ...mine } : label));
  state.selected = chosen && state.labels.find((label) => sameLabel(label, chosen)) || null;
  changed();
}

function undo() {
  const before = state.undo.pop();
  if (before) {
    state.labels = before;
    state.selected = null;
    changed();
  }
}

async function reclassify(id, name) {
  try {
    await flush();
    await api.reclassify(id, name);
    await refresh();
  } catch (error) {
    failed(error);
    redraw();
  }
}

async function interpolate(label) {
  try {
    await flush();
    const done = await api.interpolate(label.object, label.geometry.kind);
    await load(state.number);
    await refresh();
    const left = done.left.length ? ` ${words.interpolated_left}${done.left.length}` : "";
    notice(`${words.interpolated_done}${done.saved.length}${left}`, left ? "bad" : "good");
  } catch (error) {
    failed(error);
  }
}

function placeHere(id) {
  const known = ["bbox", "polygon"].map((kind) => state.last.get(`${id} ${kind}`)).find(Boolean);
  state.object = id;
  add(known ? structuredClone(known.geometry) : middleBox());
}

function verdict(labels, review, reason = null) {
  for (const label of labels) {
    state.verdicts.push({ object: label.object, kind: label.geometry.kind, review, reason });
  }
  changed();
}

const middleBox = () => {
  const { width, height } = view.size;
  return boxOf({ x: width * 0.45, y: height * 0.45 }, { x: width * 0.55, y: height * 0.55 }, view.size);
};

function setTool(tool) {
  state.tool = labelling ? tool : "select";
  state.draft = null;
  view.canvas.dataset.tool = state.tool;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute?.("aria-pressed", String(button.dataset.tool === state.tool));
  }
  view.canvas.removeAttribute("aria-pressed");
  redraw();
}

// Pointer

function pointed(event) {
  view.canvas.focus();
  if (state.ended) {
    return;
  }
  const point = view.pointOf(event);
  if (event.button === 1 || state.space) {
    event.preventDefault();
    state.drag = { kind: "pan", from: point.screen, origin: { ...view.origin } };
  } else if (event.button !== 0) {
    return;
  } else if (state.tool === "bbox") {
    state.drag = { kind: "draw", from: point };
  } else if (state.tool === "polygon") {
    addCorner(point);
    return;
  } else {
    grab(point);
  }
  view.canvas.setPointerCapture(event.pointerId);
  redraw();
}

function grab(point) {
  const handle = labelling && state.selected && view.handleAt(state.selected.geometry, point);
  if (handle) {
    state.drag = { kind: "handle", at: handle.at, shape: state.selected.geometry, moved: false };
    return;
  }
  const under = state.labels.filter((label) => contains(label.geometry, point));
  const found = under.sort((a, b) => area(a.geometry) - area(b.geometry))[0] || null;
  select(state.selected && under.includes(state.selected) ? state.selected : found);
  if (state.selected && labelling) {
    state.drag = { kind: "move", from: point, shape: state.selected.geometry, moved: false };
  }
}

function dragging(event) {
  const drag = state.drag, point = view.pointOf(event);
  if (!drag) {
    if (state.draft?.kind === "polygon") {
      state.draft = { ...state.draft, points: [...state.draft.fixed, [point.x, point.y]] };
      redraw();
    }
    return;
  }
  if (drag.kind === "pan") {
    view.origin = { x: drag.origin.x + point.screen.x - drag.from.x, y: drag.origin.y + point.screen.y - drag.from.y };
    redraw();
    return;
  }
  if (drag.kind === "draw") {
    state.draft = boxOf(drag.from, point, view.size);
    redraw();
    return;
  }
  const next = drag.kind === "move"
    ? moved(drag.shape, point.x - drag.from.x, point.y - drag.from.y, view.size)
    : dragged(drag.shape, drag.at, point, view.size);
  if (next && JSON.stringify(next) !== JSON.stringify(state.selected.geometry)) {
    if (!drag.moved) {
      remember();
      drag.moved = true;
    }
    reshape(next, true);
  }
}

function released() {
  const drag = state.drag;
  state.drag = null;
  if (drag?.kind === "draw") {
    const box = state.draft;
    state.draft = null;
    if (box && box.width >= 2 && box.height >= 2) {
      add(box);
    }
    redraw();
  } else if (drag?.moved) {
    changed();
  }
}

function addCorner(point) {
  const { width, height } = view.size;
  const corner = [Math.min(Math.max(point.x, 0), width), Math.min(Math.max(point.y, 0), height)];
  const fixed = state.draft?.fixed || [];
  const reach = 8 / view.scale;
  if (fixed.length >= 3 && Math.hypot(fixed[0][0] - corner[0], fixed[0][1] - corner[1]) <= reach) {
    closePolygon();
    return;
  }
  state.draft = { kind: "polygon", fixed: [...fixed, corner], points: [...fixed, corner] };
  redraw();
}

function closePolygon() {
  const fixed = state.draft?.fixed || [];
  state.draft = null;
  if (fixed.length >= 3) {
    add({ kind: "polygon", points: fixed.map(([x, y]) => [Math.round(x * 1024) / 1024, Math.round(y * 1024) / 1024]) });
  }
  redraw();
}

// Keys

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function stepSelection(step) {
  const at = state.labels.indexOf(state.selected);
  select(state.labels[(at + step + state.labels.length) % state.labels.length] || null);
}

const KEYS = {
  v: () => setTool("select"), b: () => setTool("bbox"), p: () => setTool("polygon"),
  n: () => labelling && add(middleBox()), c: () => state.selected && confirm([state.selected]),
  ",": () => goTo(state.number - 1), ".": () => goTo(state.number + 1),
  PageUp: () => goTo(state.number - 1), PageDown: () => goTo(state.number + 1),
  "[": () => stepSelection(-1), "]": () => stepSelection(1),
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: () => fit(),
  Delete: remove, Backspace: remove, Enter: closePolygon,
  Escape: () => { state.draft = null; select(null); },
  a: () => !labelling && state.selected && verdict([state.selected], "accepted"),
};

function pressed(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || find("#conflict").open || !find("#ended").hidden;
  if (typing) {
    return;
  }
  const onButton = event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ");
  if (onButton) {
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key === "z") {
    event.preventDefault();
    undo();
  } else if (event.ctrlKey || event.metaKey) {
    return;
  } else if (event.key === " ") {
    event.preventDefault();
    state.space = true;
  } else if (ARROWS[event.key] && state.selected && labelling) {
    event.preventDefault();
    const [x, y] = ARROWS[event.key], by = event.shiftKey ? 10 : 1;
    remember();
    const change = event.altKey ? resized : moved;
    reshape(change(state.selected.geometry, x * by, y * by, view.size));
  } else if (/^[1-9]$/.test(event.key) && labelling && given.classes[event.key - 1]) {
    choose(given.classes[event.key - 1]);
  } else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
}

function zoom(factor, at) {
  view.zoom(factor, at);
  redraw();
}

function fit() {
  view.fit();
  redraw();
}

// Begin

const DO = {
  previous: () => goTo(state.number - 1), next: () => goTo(state.number + 1), undo, fit,
  in: () => zoom(1.25), out: () => zoom(0.8), middle: () => add(middleBox()),
  theirs: () => settle(false).catch(failed), mine: () => settle(true).catch(failed), retry,
};

async function retry() {
  if (state.ended) {
    location.reload();
    return;
  }
  find("#ended").hidden = true;
  try {
    await flush();
    await refresh();
  } catch (error) {
    failed(error);
  }
}

function begin() {
  const canvas = view.canvas;
  canvas.addEventListener("pointerdown", pointed);
  canvas.addEventListener("pointermove", dragging);
  canvas.addEventListener("pointerup", released);
  canvas.addEventListener("pointercancel", released);
  canvas.addEventListener("dblclick", closePolygon);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, view.pointOf(event).screen);
  }, { passive: false });
  document.addEventListener("keydown", pressed);
  document.addEventListener("keyup", (event) => { if (event.key === " ") { state.space = false; } });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do], [data-tool]");
    if (button?.dataset.do) {
      DO[button.dataset.do]();
    } else if (button?.dataset.tool && button !== canvas) {
      setTool(button.dataset.tool);
    }
  });
  find("#number").addEventListener("change", (event) => goTo(Number(event.target.value) - 1));
  find("#conflict").addEventListener("cancel", (event) => event.preventDefault());
  window.addEventListener("beforeunload", (event) => { if (unsaved()) { event.preventDefault(); } });
  new ResizeObserver(() => fit()).observe(canvas);
  const until = find("#until");
  until.textContent = new Date(given.endsAt).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  setTool("select");
  goTo(0);
}

begin();
