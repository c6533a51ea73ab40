// Numbers as people read them.

/** `$0.000027`, `$0.60`: as many places as say something. */
export function dollars(amount: string | null): string {
  if (amount === null) return "–";
  const value = Number(amount);
  return value >= 0.01 || value === 0 ? `$${value.toFixed(2)}` : `$${value.toPrecision(2)}`;
}

export function seconds(value: number): string {
  return value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

export function bytes(value: number): string {
  return value < 1e6 ? `${Math.ceil(value / 1e3)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

export function when(time: string): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
}
