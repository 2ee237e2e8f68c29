// expect: value ["NotFound","no a","ToolError",true]
class NotFound extends Error {
  name = "NotFound";
  constructor(readonly id: string, options?: ErrorOptions) { super(`no ${id}`, options); }
}
try {
  try { await host.fail({ id: "a" }); } catch (cause) { throw new NotFound("a", { cause }); }
} catch (error) {
  const found = error as NotFound;
  return [found.name, found.message, (found.cause as Error).name, found instanceof Error];
}
