// expect: value true
// The tunnel leads there; whom the server trusts nobody here does.
try {
  await fetch("https://SECURE/");
  return "reached";
} catch (error) {
  return String((error as Error).cause).includes("invalid peer certificate");
}
