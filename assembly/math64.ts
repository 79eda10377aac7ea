// float64 logarithm, sine and cosine by their power series, whose coefficients are written as what they are. The first
// term left out is below 1e-17 of the result, so what is lost is a few roundings. The tables that a libm carries for huge
// angles are not needed here.

/** ln x for normal, positive x: x = 2^e m with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m-1)/(m+1)), cut after s^23. */
export function ln(x: f64): f64 {
  const bits = reinterpret<i64>(x) - SQRT_HALF_BITS;
  const m = reinterpret<f64>((bits & 0x000fffffffffffff) + SQRT_HALF_BITS);
  const s = (m - 1) / (m + 1);
  const v = s * s;
  let p: f64 = 1.0 / 23;
  p = p * v + 1.0 / 21;
  p = p * v + 1.0 / 19;
  p = p * v + 1.0 / 17;
  p = p * v + 1.0 / 15;
  p = p * v + 1.0 / 13;
  p = p * v + 1.0 / 11;
  p = p * v + 1.0 / 9;
  p = p * v + 1.0 / 7;
  p = p * v + 1.0 / 5;
  p = p * v + 1.0 / 3;
  return <f64>(bits >> 52) * LN2 + 2 * (s + s * v * p);
}

/** What `turn` found last. */
export let cosine: f64 = 0;
export let sine: f64 = 0;

/** The cosine and the sine of an angle of a few turns at most. */
export function turn(angle: f64): void {
  const quarters = nearest(angle * (1 / HALF_PI));
  const x = angle - quarters * HALF_PI;
  const quarter = <i32>quarters;
  const c = cosSeries(x);
  const s = sinSeries(x);
  // a choice without a branch, which would be guessed wrong half of the time
  cosine = select<f64>(s, c, quarter & 1) * <f64>(1 - ((quarter + 1) & 2));
  sine = select<f64>(c, s, quarter & 1) * <f64>(1 - (quarter & 2));
}

// sin x for |x| <= pi/4: the series to x^17 / 17!
function sinSeries(x: f64): f64 {
  const v = x * x;
  let p: f64 = 1 - v * (1.0 / (16 * 17));
  p = 1 - v * (1.0 / (14 * 15)) * p;
  p = 1 - v * (1.0 / (12 * 13)) * p;
  p = 1 - v * (1.0 / (10 * 11)) * p;
  p = 1 - v * (1.0 / (8 * 9)) * p;
  p = 1 - v * (1.0 / (6 * 7)) * p;
  p = 1 - v * (1.0 / (4 * 5)) * p;
  return x - x * v * (1.0 / (2 * 3)) * p;
}

// cos x for |x| <= pi/4: the series to x^18 / 18!
function cosSeries(x: f64): f64 {
  const v = x * x;
  let p: f64 = 1 - v * (1.0 / (17 * 18));
  p = 1 - v * (1.0 / (15 * 16)) * p;
  p = 1 - v * (1.0 / (13 * 14)) * p;
  p = 1 - v * (1.0 / (11 * 12)) * p;
  p = 1 - v * (1.0 / (9 * 10)) * p;
  p = 1 - v * (1.0 / (7 * 8)) * p;
  p = 1 - v * (1.0 / (5 * 6)) * p;
  p = 1 - v * (1.0 / (3 * 4)) * p;
  return 1 - v * 0.5 * p;
}

const SQRT_HALF_BITS: i64 = 0x3fe6a09e667f3bcd; // float64 1/sqrt(2)
const LN2: f64 = 0.6931471805599453;
const HALF_PI: f64 = 1.5707963267948966;
