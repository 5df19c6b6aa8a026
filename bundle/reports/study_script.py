"""What a study page does: zoom, pan, switches, and cards that lead to their cluster.

The page is whole without it: views, marks and cards are in the markup.
"""

SCRIPT = """
"use strict";
(function () {
  var LENGTHS = [0.5, 1, 2, 5, 10, 20, 50], MAX_SCALE = 24, STEP = 1.4;
  var body = document.body, views = {};
  function each(selector, run) { Array.prototype.forEach.call(document.querySelectorAll(selector), run); }

  // unit: pixels of the view per pixel of the screen; x, y: middle of the part that is shown.
  function View(figure) {
    var view = this;
    this.figure = figure;
    this.svg = figure.querySelector(".stage > svg");
    this.width = +figure.dataset.width;
    this.height = +figure.dataset.height;
    this.align = figure.dataset.align;
    this.pixelMm = +figure.dataset.mm;
    this.pointers = {};
    this.fitted = true;
    this.listen();
    figure.querySelector(".tools").addEventListener("click", function (event) {
      var what = event.target.dataset.do;
      if (what === "fit") { view.fit(); }
      if (what === "in") { view.zoom(1 / STEP); }
      if (what === "out") { view.zoom(STEP); }
    });
    this.fit();
  }
  View.prototype.size = function () {
    var box = this.svg.getBoundingClientRect();
    return { width: box.width || 1, height: box.height || 1, left: box.left, top: box.top };
  };
  View.prototype.fitUnit = function () {
    var size = this.size();
    return Math.max(this.width / size.width, this.height / size.height);
  };
  View.prototype.fit = function () {
    var half = this.size().width * this.fitUnit() / 2;
    this.unit = this.fitUnit();
    this.x = this.align === "right" ? this.width - half : this.align === "left" ? half : this.width / 2;
    this.y = this.height / 2;
    this.fitted = true;
    this.draw();
  };
  View.prototype.zoom = function (factor, at) {
    var size = this.size(), old = this.unit, whole = this.fitUnit();
    this.unit = Math.min(Math.max(old * factor, 1 / MAX_SCALE), whole);
    if (this.unit === whole) { this.fit(); return; }
    if (at) {
      this.x += (at.x - size.left - size.width / 2) * (old - this.unit);
      this.y += (at.y - size.top - size.height / 2) * (old - this.unit);
    }
    this.fitted = false;
    this.draw();
  };
  View.prototype.move = function (columns, rows) {
    if (this.fitted) { return; }
    this.x += columns * this.unit;
    this.y += rows * this.unit;
    this.draw();
  };
  View.prototype.show = function (box) {
    var size = this.size(), unit = Math.max((box[2] - box[0]) / size.width, (box[3] - box[1]) / size.height) * 1.6;
    this.unit = Math.min(Math.max(unit, 1 / MAX_SCALE), this.fitUnit());
    this.x = (box[0] + box[2]) / 2;
    this.y = (box[1] + box[3]) / 2;
    this.fitted = false;
    this.draw();
  };
  View.prototype.draw = function () {
    var size = this.size(), wide = size.width * this.unit, high = size.height * this.unit, length = 0, scale;
    if (!this.fitted) {
      this.x = Math.min(Math.max(this.x, 0), this.width);
      this.y = Math.min(Math.max(this.y, 0), this.height);
    }
    this.svg.setAttribute("viewBox", [this.x - wide / 2, this.y - high / 2, wide, high].join(" "));
    this.svg.style.setProperty("--unit", this.unit);
    this.svg.classList.toggle("zoomed", !this.fitted);
    this.figure.querySelector("output").textContent = Math.round(100 / this.unit) + " %";
    scale = this.figure.querySelector(".scale");
    LENGTHS.forEach(function (mm) { if (mm / this.pixelMm / this.unit <= 140) { length = mm; } }, this);
    scale.querySelector("i").style.width = length / this.pixelMm / this.unit + "px";
    scale.querySelector("span").textContent = length + " mm";
  };
  View.prototype.listen = function () {
    var view = this, svg = this.svg;
    svg.addEventListener("wheel", function (event) {
      // Without focus or Ctrl the page scrolls on, or nobody would get past the pictures.
      if (document.activeElement !== svg && !event.ctrlKey) { return; }
      event.preventDefault();
      view.zoom(Math.pow(1.0015, event.deltaY), { x: event.clientX, y: event.clientY });
    }, { passive: false });
    svg.addEventListener("dblclick", function (event) {
      view.zoom(1 / 2, { x: event.clientX, y: event.clientY });
    });
    svg.addEventListener("pointerdown", function (event) {
      svg.setPointerCapture(event.pointerId);
      svg.focus({ preventScroll: true });
      view.pointers[event.pointerId] = { x: event.clientX, y: event.clientY };
      svg.classList.add("moving");
    });
    svg.addEventListener("pointermove", function (event) {
      var last = view.pointers[event.pointerId], ids = Object.keys(view.pointers), other, before, now, at;
      if (!last) { return; }
      at = { x: event.clientX, y: event.clientY };
      if (ids.length === 2) {
        other = view.pointers[ids[0] === String(event.pointerId) ? ids[1] : ids[0]];
        before = Math.hypot(last.x - other.x, last.y - other.y);
        now = Math.hypot(at.x - other.x, at.y - other.y);
        if (before && now) { view.zoom(before / now, { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 }); }
      } else {
        view.move(last.x - at.x, last.y - at.y);
      }
      view.pointers[event.pointerId] = at;
    });
    ["pointerup", "pointercancel"].forEach(function (name) {
      svg.addEventListener(name, function (event) {
        delete view.pointers[event.pointerId];
        svg.classList.remove("moving");
      });
    });
    svg.addEventListener("keydown", function (event) {
      var keys = { ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };
      var step = keys[event.key];
      if (event.ctrlKey || event.altKey || event.metaKey) { return; }
      if (step && !view.fitted) { view.move(step[0], step[1]); event.preventDefault(); }
      if (event.key === "+" || event.key === "=") { view.zoom(1 / STEP); event.preventDefault(); }
      if (event.key === "-") { view.zoom(STEP); event.preventDefault(); }
      if (event.key === "0") { view.fit(); event.preventDefault(); }
    });
  };

  function choose(link) {
    var view = views[link.dataset.view];
    each(".active", function (old) { old.classList.remove("active"); });
    link.classList.add("active");
    each('[id="' + link.hash.slice(1) + '"]', function (frame) { frame.classList.add("active"); });
    view.show(link.dataset.box.split(" ").map(Number));
    view.figure.scrollIntoView({ block: "center" });
    view.svg.focus({ preventScroll: true });
  }
  function follow() {
    each("a[data-view]", function (link) { if (link.hash === location.hash) { choose(link); } });
  }
  function sync() {
    body.classList.toggle("no-overlay", !document.getElementById("overlay").checked);
    body.classList.toggle("no-outlines", !document.getElementById("outlines").checked);
    body.classList.toggle("no-heat", !document.getElementById("heat").checked);
    var first = document.getElementById("first");
    body.classList.toggle("first-pass", Boolean(first && first.checked));
    body.style.setProperty("--opacity", document.getElementById("opacity").value / 100);
  }
  function press(id) { var input = document.getElementById(id); if (input) { input.click(); } }

  each("figure.view", function (figure) { views[figure.id] = new View(figure); });
  each(".toolbar input", function (input) { input.addEventListener("input", sync); });
  each(".whole", function (button) {
    button.addEventListener("click", function () { Object.keys(views).forEach(function (id) { views[id].fit(); }); });
  });
  each("a[data-view]", function (link) {
    link.addEventListener("click", function (event) { event.preventDefault(); choose(link); });
  });
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(text|range)$/.test(event.target.type || "")) { return; }
    if (event.key === "o") { press("overlay"); }
    if (event.key === "m") { press(body.classList.contains("first-pass") ? "method" : "first"); }
  });
  window.addEventListener("resize", function () {
    Object.keys(views).forEach(function (id) { views[id][views[id].fitted ? "fit" : "draw"](); });
  });
  window.addEventListener("hashchange", follow);
  sync();
  follow();
})();
"""
