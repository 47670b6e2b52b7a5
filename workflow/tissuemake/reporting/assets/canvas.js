"use strict";
// Draws the tissue and moves about in it: drag, wheel, pinch, keys and buttons.

const MIN_DOT = 1.1;
// Below this radius in pixels slices run together, and the dominant colour says more.
const MIN_PIE = 3.5;

class TissueCanvas {
  constructor(canvas, scene, picture) {
    Object.assign(this, { canvas, scene, picture, places: scene });
    this.context = canvas.getContext("2d");
    this.options = { opacity: 0.85, image: true, dropped: false, fade: false, only: null };
    this.pointers = new Map();
    this.onHover = () => {};
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    this.ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(clientWidth * this.ratio);
    this.canvas.height = Math.round(clientHeight * this.ratio);
    const first = !this.width;
    Object.assign(this, { width: clientWidth, height: clientHeight });
    if (first || !this.moved) this.fit();
    this.draw();
  }

  fit() {
    const { left, right, top, bottom } = this.scene.bounds;
    const margin = this.scene.diameter + 0.03 * Math.max(right - left, bottom - top);
    const [w, h] = [right - left + 2 * margin, bottom - top + 2 * margin];
    this.scale = Math.min(this.width / w, this.height / h);
    this.smallest = this.scale / 4;
    this.x = (left + right) / 2 - this.width / this.scale / 2;
    this.y = (top + bottom) / 2 - this.height / this.scale / 2;
    this.moved = false;
    this.lead();
    this.schedule();
  }

  // Two maps beside each other always show the same part of the tissue.
  lead() {
    if (!this.peer) return;
    const { x, y, scale, smallest, moved } = this;
    Object.assign(this.peer, { x, y, scale, smallest, moved });
    this.peer.schedule();
  }

  // Keeps the point under (px, py) where it is. Returns whether anything changed.
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const largest = 120 / this.scene.diameter + 8 * this.smallest;
    const scale = Math.max(this.smallest, Math.min(largest, this.scale * factor));
    if (scale === this.scale) return false;
    this.x += px / this.scale - px / scale;
    this.y += py / this.scale - py / scale;
    this.scale = scale;
    this.clamp();
    return true;
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.clamp();
  }

  // The middle of the view never leaves the tissue, so nobody gets lost.
  clamp() {
    const { left, right, top, bottom } = this.scene.bounds;
    const [w, h] = [this.width / this.scale / 2, this.height / this.scale / 2];
    this.x = Math.min(right, Math.max(left, this.x + w)) - w;
    this.y = Math.min(bottom, Math.max(top, this.y + h)) - h;
    this.moved = true;
    this.lead();
    this.schedule();
  }

  show(layer) {
    this.layer = layer;
    this.places = layer.places;
    this.painted = colourise(this.scene, layer);
    this.options.only = null;
    this.schedule();
  }

  set(options) {
    Object.assign(this.options, options);
    this.schedule();
  }

  schedule() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const { context, scene, picture, options, ratio } = this;
    if (!this.width) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    if (picture && options.image) {
      const { width, height, scale } = scene.image;
      const size = this.scale / scale;
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, -this.x * this.scale, -this.y * this.scale, width * size, height * size);
    }
    if (this.painted) this.drawSpots();
    if (options.dropped) this.drawDropped();
    this.drawScaleBar();
  }

  drawSpots() {
    const { context, options, painted } = this;
    const pie = (this.scene.pie_diameter / 2) * this.scale;
    if (this.layer.slices && pie >= MIN_PIE) return this.drawPies(pie);
    const bins = painted.colours.length;
    for (let bin = 0; bin < bins; bin++) {
      const [from, to] = [painted.starts[bin], painted.starts[bin + 1]];
      if (from === to) continue;
      const muted = options.only !== null && options.only !== bin;
      const share = this.layer.categories ? 1 : bin / Math.max(1, bins - 2);
      context.globalAlpha = options.opacity * (options.fade && !muted ? 0.08 + 0.92 * share : 1) * (muted ? 0.12 : 1);
      context.fillStyle = muted ? this.scene.missing : painted.colours[bin];
      this.fillShapes(painted.order, from, to);
    }
    context.globalAlpha = 1;
  }

  // Every pie begins at twelve o'clock with the type that is most abundant in the tissue.
  drawPies(radius) {
    const { context, scene, layer, options } = this;
    context.globalAlpha = options.opacity;
    for (let i = 0; i < scene.count; i++) {
      const x = (scene.xs[i] - this.x) * this.scale;
      const y = (scene.ys[i] - this.y) * this.scale;
      if (x < -radius || y < -radius || x > this.width + radius || y > this.height + radius) continue;
      let from = -Math.PI / 2;
      layer.slices.forEach((slice, k) => {
        const share = numberAt(slice, i);
        if (!(share > 0)) return;
        const to = from + 2 * Math.PI * share;
        const muted = options.only !== null && options.only !== k;
        context.fillStyle = muted ? "rgba(255, 255, 255, 0.75)" : layer.colours[k];
        context.beginPath();
        context.moveTo(x, y);
        context.arc(x, y, radius, from, to);
        context.fill();
        from = to;
      });
      context.lineWidth = 0.8;
      context.strokeStyle = "rgba(20, 24, 27, 0.55)";
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  fillShapes(order, from, to) {
    const { context, places, ratio } = this;
    // Edges on whole pixels of the screen: squares that touch show no seams.
    const snap = (value) => Math.round(value * ratio) / ratio;
    const radius = Math.max(MIN_DOT, (places.diameter / 2) * this.scale);
    const round = places.shape !== "square" && radius > 1.6;
    context.beginPath();
    for (let k = from; k < to; k++) {
      const i = order[k];
      const x = (places.xs[i] - this.x) * this.scale;
      const y = (places.ys[i] - this.y) * this.scale;
      if (x < -radius || y < -radius || x > this.width + radius || y > this.height + radius) continue;
      if (round) {
        context.moveTo(x + radius, y);
        context.arc(x, y, radius, 0, 2 * Math.PI);
        continue;
      }
      const [left, top] = [snap(x - radius), snap(y - radius)];
      context.rect(left, top, snap(x + radius) - left, snap(y + radius) - top);
    }
    context.fill();
  }

  drawDropped() {
    const { context, scene } = this;
    const arm = Math.max(2, scene.diameter * this.scale * 0.35);
    context.beginPath();
    for (let i = 0; i < scene.dropped.count; i++) {
      const x = (scene.dropped.xs[i] - this.x) * this.scale;
      const y = (scene.dropped.ys[i] - this.y) * this.scale;
      context.moveTo(x - arm, y - arm);
      context.lineTo(x + arm, y + arm);
      context.moveTo(x + arm, y - arm);
      context.lineTo(x - arm, y + arm);
    }
    context.lineWidth = 1.2;
    context.strokeStyle = "#c1121f";
    context.stroke();
  }

  drawScaleBar() {
    const { context, scene } = this;
    const perPixel = scene.mpp / this.scale;
    const wanted = perPixel * Math.min(140, this.width / 4);
    const power = 10 ** Math.floor(Math.log10(wanted));
    const micron = [5, 2, 1].find((step) => step * power <= wanted) * power;
    const label = micron >= 1000 ? `${micron / 1000} mm` : `${micron} µm`;
    const [width, left, bottom] = [micron / perPixel, 14, this.height - 14];
    context.fillStyle = "rgba(255, 255, 255, 0.88)";
    context.fillRect(left - 7, bottom - 25, Math.max(width, 44) + 14, 32);
    context.fillStyle = "#111";
    context.fillRect(left, bottom - 3, width, 3);
    context.font = "600 12px system-ui, sans-serif";
    context.fillText(label, left, bottom - 9);
  }

  // The spot, or finer place, under a point of the canvas, or the nearest within a few pixels; -1 for none.
  spotAt(px, py) {
    const { places } = this;
    const [x, y] = [px / this.scale + this.x, py / this.scale + this.y];
    const reach = places.diameter * (places.shape === "square" ? Math.SQRT1_2 : 0.5);
    let [best, found] = [Math.max(reach, 6 / this.scale) ** 2, -1];
    for (let i = 0; i < places.count; i++) {
      const away = (places.xs[i] - x) ** 2 + (places.ys[i] - y) ** 2;
      if (away <= best) [best, found] = [away, i];
    }
    return found;
  }

  listen() {
    const { canvas } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("wheel", (event) => {
      // Where there is nothing left to zoom, the wheel scrolls the page.
      if (this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...place(event)))
        event.preventDefault();
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      this.onHover(-1);
      if (event.pointerType !== "mouse") this.onHover(this.spotAt(...place(event)), ...place(event));
    });
    canvas.addEventListener("pointermove", (event) => this.move(event, place(event)));
    for (const name of ["pointerup", "pointercancel"])
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.onHover(-1));
    canvas.addEventListener("dblclick", (event) => this.zoom(2, ...place(event)));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  move(event, [x, y]) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.onHover(this.spotAt(x, y), x, y);
      return;
    }
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const reach = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      this.zoom(reach([x, y]) / reach(before), other[0], other[1]);
    } else this.pan(x - before[0], y - before[1]);
    if (Math.hypot(x - before[0], y - before[1]) > 2) this.onHover(-1);
    this.pointers.set(event.pointerId, [x, y]);
  }

  key(event) {
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (step) this.pan(...step);
    else if (event.key === "+" || event.key === "=") this.zoom(1.4);
    else if (event.key === "-") this.zoom(1 / 1.4);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }
}
