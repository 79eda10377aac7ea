// The float32 exponential that torch evaluates on x86: Sleef_expf8_u10 of SLEEF (Shibata and Petrogalli 2019), which
// is within 1 ULP but not correctly rounded, so that bit-equal tables need its very operations. Fused multiply-adds
// are written in float64, where the product of two float32 numbers is exact.

/** e^d as SLEEF rounds it, for |d| < 80. */
export function exp(d: f32): f32 {
  // d = q ln 2 + s, with ln 2 in two parts
  const q = nearest(d * <f32>1.4426950408889634);
  let s = fma(q, -0.693145751953125, d);
  s = fma(q, -1.428606765330187045e-6, s);

  let u = <f32>0.000198527617612853646278381;
  u = fma(u, s, 0.00139304355252534151077271);
  u = fma(u, s, 0.00833336077630519866943359);
  u = fma(u, s, 0.0416664853692054748535156);
  u = fma(u, s, 0.166666671633720397949219);
  u = fma(u, s, 0.5);
  return (1 + fma(s * s, u, s)) * reinterpret<f32>((<i32>q + 127) << 23);
}

@inline
function fma(a: f32, b: f32, c: f32): f32 {
  return <f32>(<f64>a * <f64>b + <f64>c);
}
