// The lists beside the picture. Every text is set as text, never as markup.

const COLOURS = [
  "#ffb454", "#6cc7ff", "#8ce99a", "#ff9d9d", "#d0a9ff", "#ffe066", "#66e0d0", "#ff9ee0", "#b8e05c", "#9bb8ff",
  "#ffc7a1", "#7ee0a8", "#f2f2f2", "#c9b38c", "#5fb0a5", "#e58fb1", "#a3c1ad", "#d4d47a",
];

export const colourOf = (number) => COLOURS[(number + COLOURS.length) % COLOURS.length];

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) {
      node.addEventListener(name.slice(2), value);
    } else if (name.includes("-") || name === "role") {
      node.setAttribute(name, value);
    } else {
      node[name] = value;
    }
  }
  node.append(...children);
  return node;
}

export class Panels {
  constructor(given, state, act) {
    this.given = given;
    this.words = given.words;
    this.state = state;
    this.act = act;
    this.shown = "";
  }

  // How a label is drawn: pre-labels dashed, interpolated ones dotted
  look(label) {
    const at = this.classAt(label.object);
    const dash = label.source.startsWith("model@") ? [8, 5] : label.key ? [] : [2, 4];
    const sign = { accepted: " ✓", rejected: " ✗", open: "" }[this.verdictOf(label)];
    return { colour: colourOf(at), dash, text: `${this.given.classes[at]?.title || "?"} #${label.object}${sign}` };
  }

  classAt(object) {
    const known = this.state.objects.find((each) => each.id === object);
    return this.given.classes.findIndex((each) => each.name === known?.class);
  }

  verdictOf(label) {
    const said = this.state.verdicts.findLast((v) => v.object === label.object && v.kind === label.geometry.kind);
    return said ? said.review : label.review;
  }

  show() {
    const { state } = this;
    const now = JSON.stringify([
      state.number, state.labels, state.labels.indexOf(state.selected), state.objects, state.progress,
      state.drawn.name, state.object, state.verdicts, state.ended,
    ]);
    if (now === this.shown || document.activeElement?.closest("#selected")?.matches(":has(input:focus, textarea:focus)") && !state.ended && this.same()) {
      return;
    }
    this.shown = now;
    this.#keepingFocus(() => {
      this.#classes();
      this.#objects();
      this.#selected();
      this.#strip();
    });
  }

  // Whether the same label is shown: then a field that is being typed in is left alone
  same() {
    return this.state.selected && this.what === `${this.state.number} ${this.state.selected.object} ${this.state.selected.geometry.kind}`;
  }

  #keepingFocus(change) {
    const name = document.activeElement?.dataset?.focus;
    change();
    if (name) {
      document.querySelector(`[data-focus="${CSS.escape(name)}"]`)?.focus();
    }
  }

  #classes() {
    const place = document.querySelector("#classes");
    place?.replaceChildren(...this.given.classes.map((each, number) => {
      const chosen = this.state.drawn === each;
      const button = make("button", { type: "button", role: "radio", "aria-checked": String(chosen), onclick: () => this.act.choose(each) },
        swatch(number), each.title, ...(number < 9 ? [make("kbd", {}, String(number + 1))] : []));
      button.dataset.focus = `class ${each.name}`;
      return button;
    }));
  }

  #objects() {
    const place = document.querySelector("#objects");
    const rows = this.state.objects.map((object) => {
      const here = this.state.labels.some((label) => label.object === object.id);
      const at = this.classAt(object.id);
      const button = make("button", { type: "button", "aria-current": String(this.state.object === object.id), onclick: () => this.act.selectObject(object.id) },
        swatch(at), `${this.given.classes[at]?.title || object.class} #${object.id}`, make("small", {}, here ? this.words.in_frame : ""));
      button.dataset.focus = `object ${object.id}`;
      const row = make("li", { className: here ? "" : "absent" }, button);
      if (!here && this.state.object === object.id && this.given.role === "annotator") {
        row.append(make("button", { type: "button", onclick: () => this.act.placeHere(object.id) }, this.words.place_here));
      }
      return row;
    });
    place.replaceChildren(...(rows.length ? rows : [make("li", { className: "hint" }, this.words.no_objects)]));
  }

  #selected() {
    const place = document.querySelector("#selected"), label = this.state.selected;
    const rows = [];
    this.what = label ? `${this.state.number} ${label.object} ${label.geometry.kind}` : "";
    if (!label) {
      rows.push(make("p", { className: "hint" }, this.words.nothing_selected));
    } else if (this.given.role === "annotator") {
      rows.push(...this.#told(label), ...this.#fields(label), this.#acts(label));
    } else {
      rows.push(...this.#told(label), ...this.#said(label), ...this.#judging(label));
    }
    rows.push(...this.#all());
    place.replaceChildren(...rows);
  }

  #all() {
    const drafts = this.state.labels.filter((label) => label.source.startsWith("model@"));
    const open = this.state.labels.filter((label) => this.verdictOf(label) === "open");
    if (this.given.role === "annotator" && drafts.length) {
      return [make("button", { type: "button", onclick: () => this.act.confirm(drafts) }, `${this.words.confirm_all} (${drafts.length})`)];
    }
    if (this.given.role === "reviewer" && open.length) {
      return [make("button", { type: "button", onclick: () => this.act.verdict(open, "accepted") }, `${this.words.accept_all} (${open.length})`)];
    }
    return [];
  }

  #told(label) {
    const { words } = this;
    const model = label.source.startsWith("model@");
    const by = model
      ? `${words.from_model}: ${label.source.slice(0, 26)}…${label.confidence === null ? "" : ` · ${words.confidence} ${label.confidence.toFixed(2)}`}`
      : `${words.from_person} ${label.source.slice("person:".length)}`;
    const verdict = this.verdictOf(label);
    const said = make("p", { className: "review" }, `${words.review}: ${words[verdict]}${label.reviewer ? ` · ${label.reviewer}` : ""}`);
    said.dataset.state = verdict;
    const rows = [
      make("p", {}, make("strong", {}, this.look(label).text), ` · ${words[label.geometry.kind]}`),
      make("p", { className: "hint" }, `${by} · ${label.key ? words.key_frame : words.interpolated}`),
      said,
    ];
    if (label.reason) {
      const reason = make("p", { className: "review" }, `${words.reason}: ${label.reason}`);
      reason.dataset.state = label.review;
      rows.push(reason);
    }
    return rows;
  }

  #fields(label) {
    const { words, given } = this;
    const at = this.classAt(label.object);
    const classes = make("select", { onchange: (event) => this.act.reclassify(label.object, event.target.value) },
      ...given.classes.filter((each) => each.geometry.includes(label.geometry.kind))
        .map((each) => make("option", { value: each.name, selected: each.name === given.classes[at]?.name }, each.title)));
    classes.dataset.focus = "class";
    const rows = [make("label", {}, words.class, classes)];
    for (const attribute of given.classes[at]?.attributes || []) {
      const field = this.#field(attribute, label.attributes[attribute.name]);
      field.dataset.focus = `attribute ${attribute.name}`;
      rows.push(make("label", {}, attribute.title, field));
    }
    return rows;
  }

  #field(attribute, value) {
    const set = (to) => this.act.setAttribute(attribute.name, to);
    if (attribute.type === "boolean" || attribute.type === "choice") {
      const options = attribute.type === "choice" ? attribute.values : [{ name: "true", title: this.words.yes }, { name: "false", title: this.words.no }];
      const chosen = value === undefined ? "" : String(value);
      return make("select", { onchange: (event) => set(event.target.value === "" ? null : attribute.type === "choice" ? event.target.value : event.target.value === "true") },
        make("option", { value: "", selected: chosen === "" }, this.words.unset),
        ...options.map((each) => make("option", { value: each.name, selected: each.name === chosen }, each.title)));
    }
    if (attribute.type === "number") {
      return make("input", { type: "number", step: "any", min: attribute.minimum ?? "", max: attribute.maximum ?? "", value: value ?? "",
        onchange: (event) => event.target.reportValidity() && set(event.target.value === "" ? null : event.target.valueAsNumber) });
    }
    return make("input", { type: "text", maxLength: 1000, value: value ?? "", onchange: (event) => set(event.target.value || null) });
  }

  #acts(label) {
    const { words } = this;
    const row = make("div", { className: "row" });
    if (label.source.startsWith("model@") || !label.key) {
      row.append(make("button", { type: "button", className: "main", onclick: () => this.act.confirm([label]) }, words.confirm, " ", make("kbd", {}, "C")));
    }
    row.append(
      make("button", { type: "button", onclick: () => this.act.remove() }, words.delete),
      make("button", { type: "button", onclick: () => this.act.interpolate(label) }, words.interpolate),
    );
    return row;
  }

  #said(label) {
    const known = this.given.classes[this.classAt(label.object)];
    return (known?.attributes || []).filter((each) => label.attributes[each.name] !== undefined).map((each) => {
      const value = label.attributes[each.name];
      const title = each.type === "boolean" ? this.words[value ? "yes" : "no"] : each.values.find((v) => v.name === value)?.title ?? String(value);
      return make("p", {}, `${each.title}: ${title}`);
    });
  }

  #judging(label) {
    const { words } = this;
    const reason = make("input", { type: "text", maxLength: 500, required: true });
    reason.dataset.focus = "reason";
    const reject = () => {
      if (reason.value.trim()) {
        this.act.verdict([label], "rejected", reason.value.trim());
      } else {
        reason.setCustomValidity(words.reason_needed);
        reason.reportValidity();
        reason.setCustomValidity("");
      }
    };
    return [
      make("label", {}, words.reason, reason),
      make("div", { className: "row" },
        make("button", { type: "button", className: "main", onclick: () => this.act.verdict([label], "accepted") }, words.accept, " ", make("kbd", {}, "A")),
        make("button", { type: "button", onclick: reject }, words.reject)),
    ];
  }

  #strip() {
    document.querySelector("#strip").replaceChildren(...this.state.progress.map((frame, number) => {
      const said = frame.rejected ? "rejected" : frame.open ? "open" : frame.accepted ? "accepted" : "none";
      const title = `${this.words.frame} ${number + 1}: ${frame.labels}${said === "none" ? "" : ` · ${this.words[said]}`}`;
      const button = make("button", { type: "button", title, "aria-label": title, "aria-current": String(number === this.state.number), onclick: () => this.act.goTo(number) }, String(number + 1));
      button.dataset.state = said;
      button.dataset.focus = `frame ${number}`;
      return button;
    }));
  }
}

function swatch(number) {
  const place = make("span", { className: "swatch" });
  place.style.background = colourOf(number);
  return place;
}
