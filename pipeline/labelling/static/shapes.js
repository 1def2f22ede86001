// Shapes in pixels of the picture. Everything here is pure.

const STEP = 1024; // the server keeps coordinates to 1/1024 pixel

const kept = (value) => Math.round(value * STEP) / STEP;
const within = (value, low, high) => Math.min(Math.max(value, low), high);

export function boxOf(a, b, size) {
  const left = within(Math.min(a.x, b.x), 0, size.width), right = within(Math.max(a.x, b.x), 0, size.width);
  const top = within(Math.min(a.y, b.y), 0, size.height), bottom = within(Math.max(a.y, b.y), 0, size.height);
  return { kind: "bbox", x: kept(left), y: kept(top), width: kept(right - left), height: kept(bottom - top) };
}

export function extent(shape) {
  if (shape.kind === "bbox") {
    return { left: shape.x, top: shape.y, right: shape.x + shape.width, bottom: shape.y + shape.height };
  }
  const xs = shape.points.map((p) => p[0]), ys = shape.points.map((p) => p[1]);
  return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}

export function handles(shape) {
  if (shape.kind === "polygon") {
    return shape.points.map((p, at) => ({ at, x: p[0], y: p[1] }));
  }
  const { left, top, right, bottom } = extent(shape);
  const middle = (left + right) / 2, half = (top + bottom) / 2;
  return [
    { at: "left top", x: left, y: top }, { at: "top", x: middle, y: top }, { at: "right top", x: right, y: top },
    { at: "right", x: right, y: half }, { at: "right bottom", x: right, y: bottom },
    { at: "bottom", x: middle, y: bottom }, { at: "left bottom", x: left, y: bottom }, { at: "left", x: left, y: half },
  ];
}

export function moved(shape, dx, dy, size) {
  const { left, top, right, bottom } = extent(shape);
  const x = within(dx, -left, size.width - right), y = within(dy, -top, size.height - bottom);
  if (shape.kind === "bbox") {
    return { ...shape, x: kept(shape.x + x), y: kept(shape.y + y) };
  }
  return { ...shape, points: shape.points.map((p) => [kept(p[0] + x), kept(p[1] + y)]) };
}

// A shape whose handle was dragged to a point; null where nothing would be left of it.
export function dragged(shape, at, point, size) {
  if (shape.kind === "polygon") {
    const to = [kept(within(point.x, 0, size.width)), kept(within(point.y, 0, size.height))];
    return { ...shape, points: shape.points.map((p, number) => (number === at ? to : p)) };
  }
  const sides = extent(shape);
  for (const side of at.split(" ")) {
    sides[side] = side === "left" || side === "right" ? point.x : point.y;
  }
  const box = boxOf({ x: sides.left, y: sides.top }, { x: sides.right, y: sides.bottom }, size);
  return box.width > 0 && box.height > 0 ? box : null;
}

export function resized(shape, dx, dy, size) {
  if (shape.kind !== "bbox") {
    return shape;
  }
  const { right, bottom } = extent(shape);
  const to = { x: within(right + dx, shape.x + 1, size.width), y: within(bottom + dy, shape.y + 1, size.height) };
  return boxOf({ x: shape.x, y: shape.y }, to, size);
}

export function contains(shape, point) {
  const { left, top, right, bottom } = extent(shape);
  if (point.x < left || point.x > right || point.y < top || point.y > bottom) {
    return false;
  }
  if (shape.kind === "bbox") {
    return true;
  }
  let inside = false;
  shape.points.forEach((a, number) => {
    const b = shape.points[(number + shape.points.length - 1) % shape.points.length];
    if (a[1] > point.y !== b[1] > point.y && point.x < ((b[0] - a[0]) * (point.y - a[1])) / (b[1] - a[1]) + a[0]) {
      inside = !inside;
    }
  });
  return inside;
}

export function area(shape) {
  const { left, top, right, bottom } = extent(shape);
  return (right - left) * (bottom - top);
}
