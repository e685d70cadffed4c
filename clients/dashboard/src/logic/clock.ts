/** A span of time as one or two units: "12 s", "3 min", "2 h 5 min". What is over is "now". */
export function until(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  const seconds = Math.round(ms / 1000);
  if (seconds <= 0) return "now";
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
