// The business case again, for the page's sliders: the same sums and the same resampling as certero value, so that a slider
// which stands where the case stands shows the same figures. src/certero/business says what each step means.
"use strict";
(function () {
  const data = JSON.parse(document.getElementById("value-data").textContent);
  const start = data.case, photos = data.photos, classes = data.classes, words = data.words;
  const rows = photos.truth.length, kinds = classes.length, COLUMNS = 6;
  const counted = photos.weights !== null;
  const byId = (id) => document.getElementById(id);

  // --- the case ---------------------------------------------------------------------------------------------------

  function matrix(cost) {
    const costs = (label, predicted) => {
      if (typeof cost === "number") return label === predicted ? 0 : cost;
      const row = cost[label];
      if (typeof row === "number") return label === predicted ? 0 : row;
      return predicted in row ? row[predicted] : 0;
    };
    return classes.map((label) => classes.map((predicted) => costs(label, predicted)));
  }
  const errorMinutes = matrix(start.error_minutes), errorMoney = matrix(start.error_cost);

  function leastProbability(state, predicted) {
    if (state.threshold !== null) return state.threshold;
    if (data.per_class) return data.per_class[classes[predicted]] || 0;
    return 0;
  }

  // Columns of each row: minutes, money, right, accepted, money of right, money of wrong.
  function columnsOf(state) {
    const saved = start.by_hand_minutes - start.with_model_minutes, table = new Float64Array(rows * COLUMNS);
    const askMinutes = -start.ask_minutes, askMoney = -start.ask_minutes * state.hour_cost / 60 - start.ask_cost;
    for (let i = 0; i < rows; i++) {
      const truth = photos.truth[i], predicted = photos.predicted[i];
      const accepted = predicted >= 0 &&
        (photos.confidence === null || photos.confidence[i] >= leastProbability(state, predicted));
      let minutes = askMinutes, money = askMoney;
      if (accepted) {
        minutes = saved - errorMinutes[truth][predicted] * state.error_factor;
        money = minutes * state.hour_cost / 60 - errorMoney[truth][predicted] * state.error_factor;
      }
      const right = accepted && truth === predicted ? 1 : 0, at = i * COLUMNS;
      table[at] = minutes;
      table[at + 1] = money;
      table[at + 2] = right;
      table[at + 3] = accepted ? 1 : 0;
      table[at + 4] = right * money;
      table[at + 5] = (table[at + 3] - right) * money;
    }
    return table;
  }

  // --- resampling ---------------------------------------------------------------------------------------------------

  function mix(number) {
    number = Math.imul(number ^ (number >>> 16), 0x85ebca6b);
    number = Math.imul(number ^ (number >>> 13), 0xc2b2ae35);
    return (number ^ (number >>> 16)) >>> 0;
  }

  const draws = counted ? Math.max(1, Math.round(data.n)) : data.n_units;
  const bounds = [];
  if (counted) {
    const total = photos.weights.reduce((sum, weight) => sum + weight, 0);
    let sum = 0;
    for (const weight of photos.weights) bounds.push((sum += weight / total));
    bounds.pop();
  }

  function chosen(random) {
    if (!counted) return Math.floor(random * data.n_units / 4294967296);
    const share = random / 4294967296;
    let unit = 0;
    while (unit < bounds.length && share >= bounds[unit]) unit++;
    return unit;
  }

  // Which rows each unit holds.
  const units = Array.from({ length: data.n_units }, () => []);
  for (let i = 0; i < rows; i++) units[photos.units === null ? i : photos.units[i]].push(i);

  function weightedMean(sums, counts, shares, out, at) {
    for (let column = 0; column < COLUMNS; column++) {
      let value = 0;
      if (shares === null) {
        let n = 0;
        for (let label = 0; label < kinds; label++) {
          value += sums[label * COLUMNS + column];
          n += counts[label];
        }
        value /= n;
      } else {
        for (let label = 0; label < kinds; label++) {
          if (shares[label] > 0) value += shares[label] * sums[label * COLUMNS + column] / counts[label];
        }
      }
      out[at + column] = Number.isFinite(value) ? value : NaN;
    }
  }

  function replicate(table, shares) {
    // The sums of each unit by class, so that a draw adds a few numbers, not every photo.
    const entries = units.map((members) => {
      const found = new Map();
      for (const i of members) {
        const label = photos.truth[i];
        if (!found.has(label)) found.set(label, new Float64Array(COLUMNS + 1));
        const sums = found.get(label);
        for (let column = 0; column < COLUMNS; column++) sums[column] += table[i * COLUMNS + column];
        sums[COLUMNS] += 1;
      }
      return [...found];
    });
    const out = new Float64Array(data.resamples * COLUMNS), drawn = new Uint32Array(data.n_units);
    const sums = new Float64Array(kinds * COLUMNS), counts = new Float64Array(kinds);
    for (let b = 0; b < data.resamples; b++) {
      drawn.fill(0);
      sums.fill(0);
      counts.fill(0);
      const first = mix(b + 1);
      for (let j = 0; j < draws; j++) drawn[chosen(mix((first + Math.imul(j, 0x9e3779b9)) >>> 0))]++;
      for (let unit = 0; unit < data.n_units; unit++) {
        const times = drawn[unit];
        if (times === 0) continue;
        for (const [label, added] of entries[unit]) {
          for (let column = 0; column < COLUMNS; column++) sums[label * COLUMNS + column] += times * added[column];
          counts[label] += times * added[COLUMNS];
        }
      }
      weightedMean(sums, counts, shares, out, b * COLUMNS);
    }
    return out;
  }

  function pointOf(table, shares) {
    const sums = new Float64Array(kinds * COLUMNS), counts = new Float64Array(kinds), out = new Float64Array(COLUMNS);
    for (let i = 0; i < rows; i++) {
      const label = photos.truth[i], weight = counted ? photos.weights[i] : 1;
      for (let column = 0; column < COLUMNS; column++) {
        sums[label * COLUMNS + column] += weight * table[i * COLUMNS + column];
      }
      counts[label] += weight;
    }
    weightedMean(sums, counts, shares, out, 0);
    return out;
  }

  function degrees(table, shares, column) {
    const n = counted ? Math.round(data.n || 1) : data.n_units;
    if (shares === null || counted) return Math.max(1, n - 1);
    let total = 0, squares = 0;
    for (let label = 0; label < kinds; label++) {
      let photosOf = 0, mean = 0;
      for (let i = 0; i < rows; i++) {
        if (photos.truth[i] === label) {
          photosOf++;
          mean += table[i * COLUMNS + column];
        }
      }
      if (shares[label] <= 0 || photosOf === 0) continue;
      mean /= photosOf;
      const sums = new Map();
      for (let i = 0; i < rows; i++) {
        if (photos.truth[i] !== label) continue;
        const unit = photos.units === null ? i : photos.units[i];
        sums.set(unit, (sums.get(unit) || 0) + table[i * COLUMNS + column] - mean);
      }
      let spread = 0;
      for (const value of sums.values()) spread += value * value;
      const variance = (shares[label] / photosOf) ** 2 * spread;
      total += variance;
      squares += variance * variance / Math.max(1, sums.size - 1);
    }
    if (!(squares > 0)) return Math.max(1, n - 1);
    return Math.max(1, Math.min(n - 1, Math.floor(total * total / squares + 1e-9)));
  }

  function quantile(sorted, share) {
    const place = (sorted.length - 1) * share, below = Math.floor(place), part = place - below;
    const low = sorted[below], high = sorted[Math.min(below + 1, sorted.length - 1)];
    return part >= 0.5 ? high - (high - low) * (1 - part) : low + (high - low) * part;
  }

  function quantity(value, replicates, degreesOfFreedom) {
    if (!Number.isFinite(value)) return { value: null, low: null, high: null };
    const alone = { value, low: null, high: null };
    if (replicates === null) return alone;
    const defined = replicates.filter((replicate) => !Number.isNaN(replicate)).sort();
    if (defined.length === 0 || 2 * defined.length < replicates.length) return alone;
    const tail = data.tails[Math.min(degreesOfFreedom, data.tails.length) - 1];
    const low = quantile(defined, tail), high = quantile(defined, 1 - tail);
    if (high - low <= 1e-12 * Math.max(1, Math.abs(value))) return Object.assign(alone, { steady: true });
    return { value, low: Math.min(low, value), high: Math.max(high, value) };
  }

  // --- the figures --------------------------------------------------------------------------------------------------

  const rate = Math.expm1(Math.log1p(start.discount_rate_per_year) / 12);
  const development = start.development_hours * start.development_hour_cost;
  const annuity = (months) => (rate === 0 ? months : -Math.expm1(-months * Math.log1p(rate)) / rate);
  const payback = (net) => (net === null || net <= 0 ? null : development / net);
  function discountedPayback(net) {
    if (net === null || net <= 0 || rate === 0) return payback(net);
    const lost = rate * development / net;
    return lost >= 1 ? null : -Math.log1p(-lost) / Math.log1p(rate);
  }
  const change = (base, how) => ({
    value: base.value === null ? null : how(base.value),
    low: base.low === null ? null : how(base.low),
    high: base.high === null ? null : how(base.high),
  });
  const falling = (base, how) => ({ value: how(base.value), low: how(base.high), high: how(base.low) });
  const divided = (above, below, otherwise) => (Math.abs(below) < 1e-15 ? otherwise : above / below);

  // Money gained by a right and by a wrong answer, NaN where that depends on the class.
  function plainGains(state) {
    let right = (start.by_hand_minutes - start.with_model_minutes) * state.hour_cost / 60, wrong = right;
    for (const [cost, money] of [[start.error_minutes, state.hour_cost / 60], [start.error_cost, 1]]) {
      if (typeof cost === "number") wrong -= cost * state.error_factor * money;
      else {
        wrong = NaN;
        if (Object.entries(cost).some(([label, row]) => typeof row === "object" && label in row)) right = NaN;
      }
    }
    return [right, wrong];
  }

  function breakEven(state, wanted) {
    const [plainRight, plainWrong] = plainGains(state);
    const ask = -start.ask_minutes * state.hour_cost / 60 - start.ask_cost;
    return (row) => {
      const ofRight = divided(row[4], row[2], plainRight), ofWrong = divided(row[5], row[3] - row[2], plainWrong);
      const needed = divided(wanted - (1 - row[3]) * ask - row[3] * ofWrong, row[3] * (ofRight - ofWrong), NaN);
      if (!(ofRight > ofWrong)) return NaN;
      const accuracy = Math.max(needed, 0);
      return accuracy <= 1 ? accuracy : NaN;
    };
  }

  function compute(state) {
    const table = columnsOf(state), point = pointOf(table, state.shares);
    const drawn = data.resamples > 0 ? replicate(table, state.shares) : null;
    const freedom = [0, 1, 2, 3].map((column) => degrees(table, state.shares, column));
    const ratio = (how, column) => {
      let replicates = null;
      if (drawn !== null) {
        replicates = new Float64Array(data.resamples);
        for (let b = 0; b < data.resamples; b++) {
          replicates[b] = how(drawn.subarray(b * COLUMNS, (b + 1) * COLUMNS));
        }
      }
      return quantity(how(point), replicates, freedom[column]);
    };
    const exact = (found) => (found.steady ? { value: found.value, low: found.value, high: found.value } : found);
    const volume = state.volume, running = start.running_cost_per_month, horizon = annuity(start.horizon_months);
    const minutes = ratio((row) => row[0], 0), money = ratio((row) => row[1], 1);
    const net = change(money, (gain) => volume * gain - running);
    let never = null, late = null;
    if (drawn !== null) {
      let defined = 0, neverCount = 0, lateCount = 0;
      for (let b = 0; b < data.resamples; b++) {
        const gain = drawn[b * COLUMNS + 1];
        if (Number.isNaN(gain)) continue;
        defined++;
        if (volume * gain - running <= 0) neverCount++;
        if ((volume * gain - running) * horizon < development) lateCount++;
      }
      if (defined > 0) [never, late] = [neverCount / defined, lateCount / defined];
    }
    const alone = (value) => ({ value, low: null, high: null });
    return {
      payback_months: falling(net, payback),
      discounted_payback_months: falling(net, discountedPayback),
      gain_per_item_minutes: minutes,
      gain_per_item_money: money,
      minutes_per_month: change(minutes, (gain) => volume * gain),
      money_per_month: change(money, (gain) => volume * gain),
      net_per_month: net,
      return_at_horizon: change(net, (monthly) => monthly * horizon - development),
      accuracy: ratio((row) => divided(row[2], row[3], NaN), 2),
      break_even_accuracy: exact(ratio(breakEven(state, running / volume), 2)),
      break_even_accuracy_at_horizon: exact(ratio(breakEven(state, (running + development / horizon) / volume), 2)),
      asked: ratio((row) => 1 - row[3], 3),
      probability_never: alone(never),
      probability_not_by_horizon: alone(late),
    };
  }

  // --- writing ------------------------------------------------------------------------------------------------------

  function rounded(value, digits, thousands = ",", decimal = ".") {
    // toFixed turns to exponents from 1e21 on; no money gets there.
    const [whole, rest] = Math.abs(value).toFixed(digits).split(".");
    const text = whole.replace(/\B(?=(\d{3})+$)/g, () => thousands) + (rest ? decimal + rest : "");
    return (value < 0 && /[1-9]/.test(text) ? "-" : "") + text;
  }

  function moneyText(value, perItem) {
    const style = start.currency_format;
    const text = rounded(Math.abs(value), perItem ? data.item_digits.money : style.decimals, style.thousands, style.decimal);
    const sign = value < 0 && /[1-9]/.test(text) ? "-" : "";
    if (style.symbol === null) return sign + text + (start.currency ? "\u00a0" + start.currency : "");
    return sign + (style.symbol_after ? text + "\u00a0" + style.symbol : style.symbol + text);
  }

  function figureText(value, kind) {
    if (kind === "months") return value === null ? words.never : rounded(value, 1);
    if (value === null) return "–";
    if (kind === "money" || kind === "item_money") return moneyText(value, kind === "item_money");
    if (kind === "share") return rounded(100 * value, 1) + "\u00a0%";
    return rounded(value, kind === "item_minutes" ? data.item_digits.minutes : 0);
  }

  const between = (low, high) => words.to.replace("%(low)s", () => low).replace("%(high)s", () => high);

  function showFigures(figures) {
    for (const [key, found] of Object.entries(figures)) {
      const cell = byId("figure-" + key);
      if (cell === null) continue;
      const kind = cell.dataset.kind;
      for (const end of ["value", "low", "high"]) cell.dataset[end] = JSON.stringify(found[end]);
      cell.querySelector("b").textContent = figureText(found.value, kind);
      const shown = kind === "months" ? found.low !== null : found.low !== null && found.high !== null && found.low !== found.high;
      byId("interval-" + key).textContent =
        shown ? between(figureText(found.low, kind), figureText(found.high, kind)) : "";
    }
    const months = figures.payback_months.value;
    const text = months === null ? words.not_at_all : months > start.horizon_months ? words.late : words.in_time;
    byId("value-headline").textContent = text.replace("{months}", months === null ? "" : rounded(months, 1));
  }

  // --- charts ---------------------------------------------------------------------------------------------------------

  function niceMarks(low, high, wanted) {
    const raw = (high - low || Math.abs(high) || 1) / wanted, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw * 0.999);
    const marks = [];
    for (let i = Math.floor(low / step + 1e-9); i <= Math.ceil(high / step - 1e-9); i++) marks.push(i * step);
    return marks;
  }

  function shortMoney(value) {
    const [scale, unit] = [[1e9, "\u00a0G"], [1e6, "\u00a0M"], [1e3, "\u00a0k"], [0, ""]]
      .find(([size]) => Math.abs(value) >= size);
    const text = rounded(value / (scale || 1), 2);
    return text.replace(/\.?0+$/, text.includes(".") ? "" : "$&") + unit;
  }

  function draw(chart, xs, values, lows, highs, most, mark) {
    const every = [0, ...values, ...lows, ...highs].filter(Number.isFinite);
    const marks = niceMarks(Math.min(...every), Math.max(...every), 5);
    const low = Math.min(marks[0], ...every), high = Math.max(marks[marks.length - 1], ...every);
    const x = (value) => 62 + 250 * value / (most || 1), y = (value) => 16 + 200 * (high - value) / (high - low || 1);
    const points = (heights) => heights.map((height, i) => x(xs[i]).toFixed(2) + "," + y(height).toFixed(2));
    const add = (name, attributes, text) => {
      const part = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
      if (text !== undefined) part.textContent = text;
      chart.insertBefore(part, chart.firstChild);
    };
    chart.querySelectorAll(".grid, .mark.money, .axis-zero, .band, .line, .reference").forEach((old) => old.remove());
    // Each is put before the one added last, so the line comes first here and lies on top.
    if (mark !== null) add("path", { class: "reference", d: "M" + x(mark) + " 16V216" });
    add("polyline", { class: "line", points: points(values).join(" ") });
    if (lows.length > 0) add("polygon", { class: "band", points: [...points(highs), ...points(lows).reverse()].join(" ") });
    if (low <= 0 && high >= 0) add("path", { class: "axis-zero", d: "M62 " + y(0) + "H312" });
    for (const value of marks) {
      add("text", { class: "mark money", x: 56, y: y(value) + 4, "text-anchor": "end" }, shortMoney(value));
      add("path", { class: "grid", d: "M62 " + y(value) + "H312" });
    }
  }

  function drawCash(figures) {
    const months = [];
    for (let month = 0; month <= Math.floor(start.horizon_months); month++) months.push(month);
    if (months[months.length - 1] < start.horizon_months) months.push(start.horizon_months);
    const line = (net) => months.map((month) => net * annuity(month) - development);
    const net = figures.net_per_month, paid = figures.discounted_payback_months.value;
    const marks = niceMarks(0, start.horizon_months, 5);
    draw(
      byId("chart-cash"), months, line(net.value), net.low === null ? [] : line(net.low),
      net.high === null ? [] : line(net.high), marks[marks.length - 1],
      paid !== null && paid <= start.horizon_months ? paid : null,
    );
  }

  function drawCurve(state, figures) {
    const chart = byId("chart-curve");
    if (chart === null) return;
    const sure = photos.confidence.slice().sort((a, b) => a - b), found = [];
    for (let k = 0; k <= 40; k++) {
      const threshold = k === 40 ? 2 : k === 0 ? 0 : sure[Math.floor(k * rows / 40)];
      const point = pointOf(columnsOf(Object.assign({}, state, { threshold })), state.shares);
      found.push([point[3], point[1] * state.volume]);
    }
    found.sort((a, b) => a[0] - b[0]);
    draw(chart, found.map((point) => point[0]), found.map((point) => point[1]), [], [], 1, 1 - figures.asked.value);
  }

  // --- sliders --------------------------------------------------------------------------------------------------------

  const begin = () => ({
    volume: start.volume_per_month,
    hour_cost: start.hour_cost,
    error_factor: 1,
    threshold: data.threshold,
    // The photos' own shares vary from resample to resample; shares that somebody sets do not.
    shares: start.class_shares === null ? null : classes.map((name) => start.class_shares[name]),
  });
  let state = begin(), waiting = false;
  const shareSliders = classes.map((_name, index) => byId("share-" + index)).filter((slider) => slider !== null);
  const texts = {
    volume: () => rounded(state.volume, 0),
    hour_cost: () => moneyText(state.hour_cost),
    error_factor: () => "×\u00a0" + rounded(state.error_factor, 2),
    threshold: () => (state.threshold === null && data.per_class ? words.per_class : rounded(state.threshold || 0, 3)),
  };

  function refresh() {
    waiting = false;
    const figures = compute(state);
    showFigures(figures);
    drawCash(figures);
    drawCurve(state, figures);
    for (const [name, text] of Object.entries(texts)) {
      if (byId("value-of-" + name) !== null) byId("value-of-" + name).textContent = text();
    }
    const shown = state.shares || classes.map((name) => (data.class_shares ? data.class_shares[name] : 0));
    shareSliders.forEach((_slider, index) => {
      byId("share-text-" + index).textContent = rounded(100 * shown[index], 1) + "\u00a0%";
    });
  }

  function later() {
    if (!waiting) requestAnimationFrame(refresh);
    waiting = true;
  }

  for (const name of Object.keys(texts)) {
    const slider = byId("slider-" + name);
    if (slider === null) continue;
    slider.addEventListener("input", () => {
      // No volume at all would divide by nothing.
      state[name] = Math.max(Number(slider.value), name === "volume" ? 1e-9 : 0);
      later();
    });
  }
  shareSliders.forEach((slider) => slider.addEventListener("input", () => {
    const parts = shareSliders.map((each) => Number(each.value)), total = parts.reduce((a, b) => a + b, 0);
    if (total > 0) state.shares = parts.map((part) => part / total);
    later();
  }));
  byId("value-reset").addEventListener("click", () => {
    state = begin();
    byId("value-sliders").reset();
    later();
  });
  byId("value-sliders").hidden = false;
})();
