// Draws the picture and its labels, and knows which point of the picture a pointer is at.

import { extent, handles } from "./shapes.js";

const HANDLE = 5;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.size = { width: 1, height: 1 };
    this.picture = null;
    this.scale = 1;
    this.origin = { x: 0, y: 0 };
    this.editing = true;
  }

  show(picture, size) {
    const same = size.width === this.size.width && size.height === this.size.height && this.picture;
    this.picture?.close();
    this.picture = picture;
    this.size = size;
    if (!same) {
      this.fit();
    }
  }

  forget() {
    this.picture?.close();
    this.picture = null;
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  measure() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.ratio = ratio;
  }

  fit() {
    this.measure();
    this.scale = Math.min(this.canvas.clientWidth / this.size.width, this.canvas.clientHeight / this.size.height);
    this.origin = {
      x: (this.canvas.clientWidth - this.size.width * this.scale) / 2,
      y: (this.canvas.clientHeight - this.size.height * this.scale) / 2,
    };
  }

  zoom(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const scale = Math.min(Math.max(this.scale * factor, 0.05), 40);
    this.origin.x = at.x - ((at.x - this.origin.x) * scale) / this.scale;
    this.origin.y = at.y - ((at.y - this.origin.y) * scale) / this.scale;
    this.scale = scale;
  }

  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    return { x: (x - this.origin.x) / this.scale, y: (y - this.origin.y) / this.scale, screen: { x, y } };
  }

  handleAt(shape, point) {
    const reach = (HANDLE + 3) / this.scale;
    return handles(shape).find((h) => Math.abs(h.x - point.x) <= reach && Math.abs(h.y - point.y) <= reach);
  }

  draw(labels, selected, draft, look) {
    const c = this.context;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, this.canvas.width, this.canvas.height);
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    if (this.picture) {
      c.imageSmoothingEnabled = this.scale < 3;
      const { width, height } = this.size;
      c.drawImage(this.picture, this.origin.x, this.origin.y, width * this.scale, height * this.scale);
    }
    for (const label of labels) {
      this.#label(label, label === selected, look(label));
    }
    if (draft) {
      this.#outline(draft, "#ffffff", [4, 4], 2, draft.kind === "bbox" || draft.closed);
    }
  }

  #at(x, y) {
    return [this.origin.x + x * this.scale, this.origin.y + y * this.scale];
  }

  #outline(shape, colour, dash, width, closed = true) {
    const c = this.context;
    c.beginPath();
    const corners = shape.kind === "bbox"
      ? [[shape.x, shape.y], [shape.x + shape.width, shape.y],
         [shape.x + shape.width, shape.y + shape.height], [shape.x, shape.y + shape.height]]
      : shape.points;
    corners.forEach(([x, y], number) => c[number ? "lineTo" : "moveTo"](...this.#at(x, y)));
    if (closed) {
      c.closePath();
    }
    c.setLineDash([]);
    c.lineWidth = width + 2;
    c.strokeStyle = "rgba(0, 0, 0, .65)";
    c.stroke();
    c.setLineDash(dash);
    c.lineWidth = width;
    c.strokeStyle = colour;
    c.stroke();
    c.setLineDash([]);
  }

  #label(label, selected, { colour, dash, text }) {
    const c = this.context;
    this.#outline(label.geometry, colour, dash, selected ? 3 : 2);
    if (selected) {
      c.fillStyle = `${colour}30`;
      c.fill();
      for (const h of this.editing ? handles(label.geometry) : []) {
        const [x, y] = this.#at(h.x, h.y);
        c.fillStyle = "#ffffff";
        c.strokeStyle = "#000000";
        c.lineWidth = 1;
        c.fillRect(x - HANDLE, y - HANDLE, 2 * HANDLE, 2 * HANDLE);
        c.strokeRect(x - HANDLE, y - HANDLE, 2 * HANDLE, 2 * HANDLE);
      }
    }
    const { left, top } = extent(label.geometry);
    const [x, y] = this.#at(left, top);
    c.font = "600 12px system-ui, 'Noto Sans CJK SC', 'Noto Sans SC', sans-serif";
    const width = c.measureText(text).width + 10, above = y >= 20 ? y - 19 : y + 2;
    c.fillStyle = "rgba(0, 0, 0, .78)";
    c.fillRect(x - 1, above, width, 18);
    c.fillStyle = colour;
    c.fillText(text, x + 4, above + 13);
  }
}
