"""How a study page looks: calm, legible in light and dark, and on paper."""

STYLE = """
:root { color-scheme: light dark; --page: #f4f6f7; --panel: #fff; --text: #1c2126; --quiet: #56626c; --line: #d8dee2;
  --accent: #0a5fb0; --notice: #fff3d1; --notice-text: #4a3600; --notice-line: #d99a00;
  --clustered: #ffb000; --isolated: #40d8ff; --box: #ffe066; --opacity: .9; }
@media (prefers-color-scheme: dark) { :root { --page: #12161a; --panel: #1b2126; --text: #e4e9ec; --quiet: #9aa7b0;
  --line: #323c43; --accent: #7cbcf5; --notice: #35290c; --notice-text: #ffe3a0; --notice-line: #d99a00; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
.notice { padding: .7rem 1.5rem; background: var(--notice); color: var(--notice-text);
  border-bottom: 2px solid var(--notice-line); }
main { max-width: 1680px; margin: 0 auto; padding: 0 1.5rem 3rem; }
h1 { font-size: 1.45rem; font-weight: 650; margin: 1.2rem 0 .1rem; }
h2 { font-size: 1.1rem; font-weight: 650; margin: 2.2rem 0 .7rem; }
h3 { font-size: 1rem; font-weight: 650; margin: 0; }
p { margin: .2rem 0; } .quiet { color: var(--quiet); } a { color: var(--accent); }
ul.warnings { list-style: none; margin: .8rem 0; padding: .5rem .9rem; background: var(--notice);
  color: var(--notice-text); border-left: 4px solid var(--notice-line); border-radius: 4px; }
.toolbar { position: sticky; top: 0; z-index: 5; display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; align-items: center;
  margin: 1rem 0 .6rem; padding: .5rem .9rem; background: var(--panel); border: 1px solid var(--line);
  border-radius: 8px; }
.toolbar label { display: inline-flex; align-items: center; gap: .4rem; white-space: nowrap; }
.toolbar fieldset { display: flex; flex-wrap: wrap; gap: .2rem 1rem; border: 0; margin: 0; padding: 0; min-width: 0; }
.toolbar legend { float: left; padding: 0; margin-right: .6rem; color: var(--quiet); }
.toolbar input { accent-color: var(--accent); } .toolbar input[type=range] { width: 7rem; }
.toolbar .whole { margin-left: auto; }
button { font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: .1rem .6rem; cursor: pointer; }
button:hover { border-color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.row { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; margin-bottom: .9rem; }
.row.single { grid-template-columns: minmax(0, 1fr); }
.view, .absent { margin: 0; min-width: 0; background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  overflow: hidden; }
.absent { display: grid; place-items: center; min-height: 8rem; color: var(--quiet); padding: 1rem;
  text-align: center; }
figcaption { display: flex; flex-wrap: wrap; gap: .1rem .8rem; align-items: center; padding: .35rem .8rem; }
figcaption .tools { margin-left: auto; display: inline-flex; gap: .3rem; align-items: center; }
.tools output { min-width: 3.6em; text-align: center; color: var(--quiet); font-variant-numeric: tabular-nums; }
.view .warning { padding: .15rem .8rem; background: var(--notice); color: var(--notice-text); }
.stage { position: relative; background: #000; }
.stage > svg { display: block; width: 100%; height: clamp(300px, 74vh, 980px); background: #000; cursor: grab;
  touch-action: pan-x pan-y; }
.stage > svg.zoomed { touch-action: none; } .stage > svg.moving { cursor: grabbing; }
.stage > svg:focus-visible { outline-offset: -3px; }
.stage .side { position: absolute; top: .5rem; color: #cfd6da; font-weight: 650; pointer-events: none;
  text-shadow: 0 0 4px #000, 0 0 2px #000; }
.scale { position: absolute; bottom: .6rem; color: #e8edf0; font-size: 12px; pointer-events: none;
  text-shadow: 0 0 3px #000; }
.scale i { display: block; height: 5px; border: 1.5px solid #e8edf0; border-top: 0; }
.at-left .side, .at-left .scale { left: .8rem; } .at-right .side, .at-right .scale { right: .8rem; }
.layer { opacity: var(--opacity); }
.mark, .ring, .frame { fill: none; stroke-width: 1.3px; vector-effect: non-scaling-stroke; }
.ring { r: max(calc(var(--unit, 6) * 7px), calc(var(--own) * 1px)); stroke-opacity: .85;
  pointer-events: all; }
.clustered { stroke: var(--clustered); } .isolated { stroke: var(--isolated); }
.frame { stroke: var(--box); stroke-dasharray: 6 4; pointer-events: none; }
.frame.active { stroke-width: 3px; stroke-dasharray: none; }
.no-overlay .layer, .no-heat .heat, .no-outlines .marks { display: none; }
.first-pass .layer.method:not(.only), body:not(.first-pass) .layer.first { display: none; }
.first-pass .of-method:not(.only), body:not(.first-pass) .of-first { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; color: var(--quiet); font-size: 13px; }
.legend b { display: inline-block; width: 12px; height: 12px; margin-right: .4em; vertical-align: -1px;
  border: 2px solid; border-radius: 50%; background: #000; }
.legend b.frame { border-radius: 2px; border-style: dashed; border-color: var(--box); }
.legend b.clustered { border-color: var(--clustered); } .legend b.isolated { border-color: var(--isolated); }
.legend b.ramp { width: 44px; border: 0; border-radius: 3px;
  background: linear-gradient(90deg, rgba(255, 200, 0, .25), rgba(255, 35, 40, .9)), #000; }
kbd { font: 12px ui-monospace, monospace; border: 1px solid var(--line); border-radius: 4px; padding: 0 .35em; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 1rem; padding: 0; margin: 0;
  list-style: none; }
.card { display: block; height: 100%; color: inherit; text-decoration: none; background: var(--panel);
  border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.card:hover, .card.active { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.crop { display: block; width: 100%; aspect-ratio: 1; background: #000; } .crop use { stroke-width: 1px; }
.card:hover .crop use { opacity: .2; }
.card div { padding: .6rem .9rem .8rem; } .card dl { margin: .4rem 0 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.word { font-weight: 650; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--quiet); font-weight: 500; } td.free { white-space: normal; min-width: 16em; }
summary { cursor: pointer; margin-bottom: .4rem; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: .8rem; color: var(--quiet); }
@media (max-width: 760px) {
  main { padding: 0 .7rem 2rem; } .notice { padding: .6rem .8rem; }
  .row { gap: 2px; } figcaption { padding: .3rem .5rem; } .toolbar { position: static; gap: .3rem .9rem; }
  .toolbar .whole { margin-left: 0; } .stage > svg { height: clamp(220px, 46vh, 520px); }
  .tools output { display: none; }
}
@media print {
  :root { --page: #fff; --panel: #fff; --text: #000; --quiet: #333; --line: #aaa; --notice: #fff; --notice-text: #000; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  .notice { border: 2px solid #000; margin-bottom: .5rem; }
  .toolbar, figcaption .tools, .hint { display: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .scroll { overflow: visible; } table { font-size: 8pt; width: 100%; }
  th, td { padding-right: .5rem; white-space: normal; }
  .row, .card, .view, tr { break-inside: avoid; } .stage > svg { height: 98mm; }
  .cards { grid-template-columns: repeat(3, 1fr); }
}
"""
