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

  // Minutes and money of an answer.
  function gainOf(state, truth, predicted) {
    const saved = start.by_hand_minutes - start.with_model_minutes;
    const minutes = saved - errorMinutes[truth][predicted] * state.error_factor;
    return [minutes, minutes * state.hour_cost / 60 - errorMoney[truth][predicted] * state.error_factor];
  }
  const gainOfAsking = (state) => [-start.ask_minutes, -start.ask_minutes * state.hour_cost / 60 - start.ask_cost];

  // Until it is moved, an answer counts as the case counted it: by thresholds chosen without its photo.
  function isAccepted(state, i, predicted) {
    if (predicted < 0) return false;
    if (photos.accepted && state.threshold === data.threshold) return photos.accepted[i] === 1;
    return photos.confidence === null || photos.confidence[i] >= leastProbability(state, predicted);
  }

  // Columns of each row: minutes, money, right, accepted, money of right, money of wrong.
  function columnsOf(state) {
    const table = new Float64Array(rows * COLUMNS), asked = gainOfAsking(state);
    for (let i = 0; i < rows; i++) {
      const truth = photos.truth[i], predicted = photos.predicted[i];
      const accepted = isAccepted(state, i, predicted);
      const [minutes, money] = accepted ? gainOf(state, truth, predicted) : asked;
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

  // Calls with how often each unit is drawn, once a resample.
  function eachResample(use) {
    const drawn = new Uint32Array(data.n_units);
    for (let b = 0; b < data.resamples; b++) {
      drawn.fill(0);
      const first = mix(b + 1);
      for (let j = 0; j < draws; j++) drawn[chosen(mix((first + Math.imul(j, 0x9e3779b9)) >>> 0))]++;
      use(drawn, b);
    }
  }

  // The sums of each unit by class, so that a draw adds a few numbers, not every photo; the last is the photos.
  function unitSums(table, columns, stratum) {
    return units.map((members) => {
      const found = new Map();
      for (const i of members) {
        const place = stratum(photos.truth[i]);
        if (!found.has(place)) found.set(place, new Float64Array(columns + 1));
        const sums = found.get(place);
        for (let column = 0; column < columns; column++) sums[column] += table[i * columns + column];
        sums[columns] += 1;
      }
      return [...found];
    });
  }

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
    const entries = unitSums(table, COLUMNS, (label) => label);
    const out = new Float64Array(data.resamples * COLUMNS);
    const sums = new Float64Array(kinds * COLUMNS), counts = new Float64Array(kinds);
    eachResample((drawn, b) => {
      sums.fill(0);
      counts.fill(0);
      for (let unit = 0; unit < data.n_units; unit++) {
        const times = drawn[unit];
        if (times === 0) continue;
        for (const [label, added] of entries[unit]) {
          for (let column = 0; column < COLUMNS; column++) sums[label * COLUMNS + column] += times * added[column];
          counts[label] += times * added[COLUMNS];
        }
      }
      weightedMean(sums, counts, shares, out, b * COLUMNS);
    });
    return out;
  }

  // What each figure may be in truth, by the bootstrap of Student's t: src/certero/stats/studentised.py.
  // Figures: value, least, most, and the columns of the table that hold what it is off by (of mean 0 in the photos) and
  // what that is divided by, null for nothing.
  function plausible(table, columns, figures, shares) {
    const strata = shares === null ? 1 : kinds;
    const share = shares === null ? [1] : shares, entries = unitSums(table, columns, (label) => (strata === 1 ? 0 : label));
    const means = new Float64Array(strata * columns), total = new Float64Array(strata);
    const gather = (times, sums, counts) => {
      sums.fill(0);
      counts.fill(0);
      for (let unit = 0; unit < data.n_units; unit++) {
        if (times[unit] === 0) continue;
        for (const [place, added] of entries[unit]) {
          for (let column = 0; column < columns; column++) sums[place * columns + column] += times[unit] * added[column];
          counts[place] += times[unit] * added[columns];
        }
      }
      for (let place = 0; place < strata; place++) {
        for (let column = 0; column < columns; column++) sums[place * columns + column] /= counts[place];
      }
    };
    const weighed = (sums, column) => {
      let value = 0;
      for (let place = 0; place < strata; place++) if (share[place] > 0) value += share[place] * sums[place * columns + column];
      return value;
    };
    // Less its mean, so that sums of squares do not cancel.
    gather(new Uint32Array(data.n_units).fill(1), means, total);
    const over = figures.map((figure) => (figure.over === null ? 1 : weighed(means, figure.over)));
    for (const unit of entries) {
      for (const [place, added] of unit) {
        for (let column = 0; column < columns; column++) added[column] -= added[columns] * means[place * columns + column];
      }
    }
    // What a unit adds to the weighted mean beyond its part of it.
    const linear = (unit, sums, counts, column) => {
      let value = 0;
      for (const [place, added] of entries[unit]) {
        if (!(share[place] > 0)) continue;
        value += share[place] / counts[place] * (added[column] - sums[place * columns + column] * added[columns]);
      }
      return value;
    };
    const sums = new Float64Array(strata * columns), counts = new Float64Array(strata);
    const errorOf = (times, figure, off, divisor) => {
      let squares = 0;
      for (let unit = 0; unit < data.n_units; unit++) {
        if (times[unit] === 0) continue;
        let value = linear(unit, sums, counts, figure.rest);
        if (figure.over !== null) value -= off * linear(unit, sums, counts, figure.over);
        squares += times[unit] * value * value;
      }
      return divided(Math.sqrt(squares), divisor, NaN);
    };
    counts.set(total);
    const every = new Uint32Array(data.n_units).fill(1);
    const errors = figures.map((figure, at) => errorOf(every, figure, 0, over[at]));
    const widening = figures.map((figure) => {
      if (shares === null) return 1;
      const most = data.quantiles.length, here = Math.min(degrees(table, columns, shares, figure.rest), most);
      return data.quantiles[here - 1] / data.quantiles[Math.min(data.n_units - 1, most) - 1];
    });
    const out = figures.map((figure) => new Float64Array(data.resamples).fill(figure.value));
    eachResample((drawn, b) => {
      gather(drawn, sums, counts);
      figures.forEach((figure, at) => {
        if (errors[at] <= 1e-12 * Math.max(1, Math.abs(figure.value))) return;
        const divisor = figure.over === null ? 1 : over[at] + weighed(sums, figure.over);
        const off = divided(weighed(sums, figure.rest), divisor, NaN);
        const error = Math.max(errorOf(drawn, figure, off, divisor), data.least_error * errors[at]);
        const value = figure.value - off / error * widening[at] * errors[at];
        out[at][b] = Math.min(Math.max(value, Math.min(figure.least, figure.value)), Math.max(figure.most, figure.value));
      });
    });
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

  function degrees(table, columns, shares, column) {
    const n = counted ? Math.round(data.n || 1) : data.n_units;
    if (shares === null || counted) return Math.max(1, n - 1);
    let total = 0, squares = 0;
    for (let label = 0; label < kinds; label++) {
      let photosOf = 0, mean = 0;
      for (let i = 0; i < rows; i++) {
        if (photos.truth[i] === label) {
          photosOf++;
          mean += table[i * columns + column];
        }
      }
      if (shares[label] <= 0 || photosOf === 0) continue;
      mean /= photosOf;
      const sums = new Map();
      for (let i = 0; i < rows; i++) {
        if (photos.truth[i] !== label) continue;
        const unit = photos.units === null ? i : photos.units[i];
        sums.set(unit, (sums.get(unit) || 0) + table[i * columns + column] - mean);
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

  const tailOf = (degreesOfFreedom) => data.tails[Math.min(degreesOfFreedom, data.tails.length) - 1];

  function quantity(value, replicates, tail) {
    if (!Number.isFinite(value)) return { value: null, low: null, high: null };
    const alone = { value, low: null, high: null };
    if (replicates === null) return alone;
    const defined = replicates.filter((replicate) => !Number.isNaN(replicate)).sort();
    if (defined.length === 0 || 2 * defined.length < replicates.length) return alone;
    const low = quantile(defined, tail), high = quantile(defined, 1 - tail);
    if (high - low <= 1e-12 * Math.max(1, Math.abs(value))) return Object.assign(alone, { steady: true });
    return { value, low: Math.min(low, value), high: Math.max(high, value) };
  }

  // --- room for groups that were not met: src/certero/stats/unmet_groups.py and beta_binomial.py ----------------------

  const CORRELATIONS = [0.002, ...Array.from({ length: 25 }, (_zero, i) => 0.02 + i * 0.04)];
  const SOME_CORRELATIONS = [0, 1, 2, 4, 7, 12, 18, 25].map((place) => CORRELATIONS[place]);
  const spaced = (from, to, count) => Array.from({ length: count }, (_zero, i) => (i === count - 1 ? to : from + i * (to - from) / (count - 1)));
  const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));
  const logSigmoid = (logit) => (logit < 0 ? logit - Math.log1p(Math.exp(logit)) : -Math.log1p(Math.exp(-logit)));

  // How many groups have each number of photos; half a hit is half a hit and half a miss.
  function tally(counts) {
    const often = new Float64Array(Math.floor(Math.max(0, ...counts) + 1e-9) + 2);
    for (const count of counts) {
      const whole = Math.floor(count + 1e-9), part = Math.max(count - whole, 0);
      often[whole] += 1 - part;
      often[whole + 1] += part;
    }
    return Array.from(often, (times, value) => [value, times]).filter(([value, times]) => value > 0 && times > 1e-9);
  }

  // Sum over groups of log(base (base + 1) ... (base + count - 1)).
  function logRising(base, counts) {
    let product = 1, done = 0, log = 0, total = 0;
    for (const [value, times] of counts) {
      while (done < value) {
        const upto = Math.min(value, done + 50);
        for (; done < upto; done++) product *= base + done;
        log += Math.log(product);
        product = 1;
      }
      total += times * log;
    }
    return total;
  }

  function cumulative(logits, [hits, misses, sizes], correlations) {
    const rows = logits.map((logit) => {
      const share = sigmoid(logit), prior = 0.5 * (logSigmoid(logit) + logSigmoid(-logit));
      return correlations.map((correlation) => {
        const strength = 1 / correlation - 1;
        return prior + logRising(share * strength, hits) + logRising((1 - share) * strength, misses) - logRising(strength, sizes);
      });
    });
    const most = Math.max(...rows.map((row) => Math.max(...row)));
    const density = rows.map((row) => row.reduce((sum, log) => sum + Math.exp(log - most), 0));
    const below = [0];
    for (let i = 1; i < density.length; i++) below.push(below[i - 1] + (density[i] + density[i - 1]) / 2);
    return below.map((sum) => sum / below[below.length - 1]);
  }

  function posteriorInterval(hits, sizes) {
    const counts = [tally(hits), tally(hits.map((hit, group) => sizes[group] - hit)), tally(sizes)];
    let logits = spaced(-16, 16, 41), below;
    const place = (wanted) => {
      const found = below.findIndex((sum) => sum >= wanted);
      return found < 0 ? below.length : found;
    };
    for (const points of [41, 121]) {
      below = cumulative(logits, counts, SOME_CORRELATIONS);
      const first = Math.max(0, place(1e-7) - 1), last = Math.min(logits.length - 1, place(1 - 1e-7) + 1);
      logits = spaced(logits[first], logits[last], points);
    }
    below = cumulative(logits, counts, CORRELATIONS);
    return [0.025, 0.975].map((wanted) => {
      // The last place not above it, as NumPy interpolates.
      let at = 0;
      while (at < below.length - 2 && below[at + 1] <= wanted) at++;
      const step = below[at + 1] - below[at];
      return sigmoid(step > 0 ? logits[at] + (logits[at + 1] - logits[at]) * (wanted - below[at]) / step : logits[at]);
    });
  }

  // How far below and above a weighted mean the posteriors of the classes reach.
  function room(table, columns, figure, shares, below) {
    const share = shares === null ? [1] : shares, placeOf = (i) => (shares === null ? 0 : photos.truth[i]);
    const overOf = (i) => (figure.over === null ? 1 : table[i * columns + figure.over]);
    const featureOf = (i) => table[i * columns + figure.feature];
    let { least, most } = figure, lowest = Infinity, highest = -Infinity;
    const counts = new Float64Array(share.length);
    for (let i = 0; i < rows; i++) {
      if (!(share[placeOf(i)] > 0)) continue;
      counts[placeOf(i)]++;
      if (!(overOf(i) > 0)) continue;
      const seen = featureOf(i) / overOf(i);
      lowest = Math.min(lowest, seen);
      highest = Math.max(highest, seen);
    }
    if (highest === -Infinity) return [0, 0];
    if (highest - lowest > 1e-12 * Math.max(1, Math.abs(highest))) [least, most] = [lowest, highest];
    const span = most - least;
    if (!(span > 0)) return [0, 0];
    const fallen = [], risen = [], sizesOf = [], all = new Float64Array(data.n_units);
    let mean = 0;
    for (let stratum = 0; stratum < share.length; stratum++) {
      const hits = new Float64Array(data.n_units), sizes = new Float64Array(data.n_units);
      for (let i = 0; i < rows; i++) {
        if (placeOf(i) !== stratum) continue;
        sizes[photos.units[i]] += overOf(i);
        hits[photos.units[i]] += (featureOf(i) - least * overOf(i)) / span;
      }
      const there = Array.from(sizes.keys()).filter((unit) => sizes[unit] > 0);
      if (!(share[stratum] > 0) || there.length === 0) continue;
      const found = there.map((unit) => Math.min(Math.max(hits[unit], 0), sizes[unit]));
      const total = there.reduce((sum, unit) => sum + sizes[unit], 0), hit = found.reduce((sum, one) => sum + one, 0);
      const [low, high] = posteriorInterval(found, there.map((unit) => sizes[unit]));
      const weight = share[stratum] * total / counts[stratum] / below * span;
      mean += weight * hit / total;
      sizes.forEach((size, unit) => { all[unit] += size; });
      fallen.push(weight * Math.max(0, hit / total - low));
      risen.push(weight * Math.max(0, high - hit / total));
      const length = Math.sqrt(sizes.reduce((sum, size) => sum + size * size, 0));
      sizesOf.push(sizes.map((size) => size / length));
    }
    // Below so many groups there is room for one more, with nothing but the least or the greatest in it.
    const few = all.filter((size) => size > 0).length < data.fewest_to_see_rare;
    const more = few ? 1 / (1 + all.reduce((sum, size) => sum + size, 0) ** 2 / all.reduce((sum, size) => sum + size * size, 0)) : 0;
    return [fallen, risen].map((ends, side) => {
      let sum = 0;
      ends.forEach((one, j) => ends.forEach((other, k) => {
        let together = 0;
        for (let unit = 0; unit < data.n_units; unit++) together += sizesOf[j][unit] * sizesOf[k][unit];
        sum += one * other * together;
      }));
      return Math.sqrt(sum) + more * (side === 0 ? mean : span - mean);
    });
  }

  // Plausible values spread so that their percentiles reach the room on both sides.
  function makeRoom(values, figure, [down, up]) {
    const defined = values.filter((value) => !Number.isNaN(value)).sort(), n = defined.length;
    if (n < 2 || !Number.isFinite(figure.value)) return values;
    const out = new Float64Array(values.length).fill(NaN);
    const least = Math.min(figure.least, figure.value), most = Math.max(figure.most, figure.value);
    defined.forEach((value, place) => {
      const rank = (place / (n - 1) - 0.5) / 0.475;
      const spread = rank < 0 ? Math.min(value, figure.value + down * rank) : Math.max(value, figure.value + up * rank);
      out[place] = Math.min(Math.max(spread, least), most);
    });
    return out;
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
    const ask = gainOfAsking(state)[1];
    return (row) => {
      const ofRight = divided(row[4], row[2], plainRight), ofWrong = divided(row[5], row[3] - row[2], plainWrong);
      const needed = divided(wanted - (1 - row[3]) * ask - row[3] * ofWrong, row[3] * (ofRight - ofWrong), NaN);
      if (!(ofRight > ofWrong)) return NaN;
      const accuracy = Math.max(needed, 0);
      return accuracy <= 1 ? accuracy : NaN;
    };
  }

  // Minutes, money, accuracy of the accepted and share of the accepted: what they are, what they may be, and its tail.
  function measured(state, table, point, drawn) {
    const accuracy = divided(point[2], point[3], NaN), values = [point[0], point[1], accuracy, point[3]];
    if (drawn === null) return values.map((value) => ({ value, plausible: null, tail: null }));
    if (photos.units === null) {
      return values.map((value, column) => ({
        value,
        plausible: Float64Array.from({ length: data.resamples }, (_zero, b) => {
          const row = drawn.subarray(b * COLUMNS, (b + 1) * COLUMNS);
          return column === 2 ? divided(row[2], row[3], NaN) : row[column];
        }),
        tail: tailOf(degrees(table, COLUMNS, state.shares, column)),
      }));
    }
    // Right predictions as they are, and less what the accuracy makes of the accepted ones.
    const wide = new Float64Array(rows * 5);
    let accepted = 0;
    for (let i = 0; i < rows; i++) {
      const row = table.subarray(i * COLUMNS, i * COLUMNS + 4);
      wide.set([row[0], row[1], Number.isNaN(accuracy) ? 0 : row[2] - accuracy * row[3], row[3], row[2]], i * 5);
      accepted += row[3];
    }
    const gained = [gainOfAsking(state)];
    for (let truth = 0; truth < kinds; truth++) {
      for (let predicted = 0; predicted < kinds; predicted++) gained.push(gainOf(state, truth, predicted));
    }
    const ends = (column) => gained.map((pair) => pair[column]).reduce(
      ([least, most], gain) => [Math.min(least, gain), Math.max(most, gain)], [Infinity, -Infinity]);
    const figures = values.map((value, column) => {
      const [least, most] = column < 2 ? ends(column) : [0, 1];
      return { value, least, most, rest: column, feature: column === 2 ? 4 : column, over: column === 2 ? 3 : null };
    });
    const found = plausible(wide, 5, figures, state.shares).map((values, column) => {
      // What follows from the rule alone is certain: all accepted, or none.
      if (accepted === 0 || (column === 3 && accepted === rows)) return values;
      return makeRoom(values, figures[column], room(wide, 5, figures[column], state.shares, column === 2 ? point[3] : 1));
    });
    return values.map((value, column) => ({ value, plausible: found[column], tail: data.tail }));
  }

  function compute(state) {
    const table = columnsOf(state), point = pointOf(table, state.shares);
    const drawn = data.resamples > 0 ? replicate(table, state.shares) : null;
    const found = measured(state, table, point, drawn);
    const [minutes, money, accuracy, accepted] = found.map((one) => quantity(one.value, one.plausible, one.tail));
    const volume = state.volume, running = start.running_cost_per_month, horizon = annuity(start.horizon_months);
    const tail = tailOf(degrees(table, COLUMNS, state.shares, 2));
    const bar = (wanted) => {
      const needed = breakEven(state, wanted);
      let replicates = null;
      if (drawn !== null) {
        replicates = Float64Array.from(
          { length: data.resamples }, (_zero, b) => needed(drawn.subarray(b * COLUMNS, (b + 1) * COLUMNS)));
      }
      const one = quantity(needed(point), replicates, tail);
      return one.steady ? { value: one.value, low: one.value, high: one.value } : one;
    };
    const net = change(money, (gain) => volume * gain - running);
    let never = null, late = null;
    if (drawn !== null) {
      const nets = found[1].plausible.filter((gain) => !Number.isNaN(gain)).map((gain) => volume * gain - running);
      if (nets.length > 0) {
        never = nets.filter((one) => one <= 0).length / nets.length;
        late = nets.filter((one) => one * horizon < development).length / nets.length;
      }
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
      accuracy,
      break_even_accuracy: bar(running / volume),
      break_even_accuracy_at_horizon: bar((running + development / horizon) / volume),
      asked: falling(accepted, (share) => (share === null ? null : 1 - share)),
      probability_never: alone(never),
      probability_not_by_horizon: alone(late),
    };
  }

  // --- writing ------------------------------------------------------------------------------------------------------

  function rounded(value, digits, thousands = ",", decimal = ".") {
    // toFixed turns to exponents from 1e21 on; no money gets there.
    const [whole, rest] = Math.abs(value).toFixed(digits).split(".");
    const text = whole.replace(/\B(?=(\d{3})+$)/g, () => thousands) + (rest ? decimal + rest : "");
    return (value < 0 && /[1-9]/.test(text) ? "\u2212" : "") + text;
  }

  function moneyText(value, perItem) {
    const style = start.currency_format;
    const text = rounded(Math.abs(value), perItem ? data.item_digits.money : style.decimals, style.thousands, style.decimal);
    const sign = value < 0 && /[1-9]/.test(text) ? "\u2212" : "";
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
      const low = figureText(found.low, kind), high = figureText(found.high, kind);
      const shown = kind === "months" ? found.low !== null : found.low !== null && found.high !== null && low !== high;
      byId("interval-" + key).textContent = shown ? between(low, high) : "";
    }
    const months = figures.payback_months.value, worth = figures.return_at_horizon;
    const open = worth.low !== null && worth.high !== null && worth.low < 0 && worth.high > 0;
    const text = months === null ? words.not_at_all : open ? words.cannot_tell
      : months > start.horizon_months ? words.late : words.in_time;
    byId("value-headline").textContent = text.replace("{months}", () => months === null ? "" : rounded(months, 1))
      .replace("{low}", () => moneyText(worth.low, false)).replace("{high}", () => moneyText(worth.high, false));
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
