// expect: value ["gave up",{"ok":true}]
async function retry<T>(what: () => Promise<T>, times: number): Promise<T | string> {
  for (let attempt = 1; attempt <= times; attempt++) {
    try {
      return await what();
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      console.warn(`attempt ${attempt}: ${error.message}`);
    }
  }
  return "gave up";
}
return [await retry(() => host.fail({ id: 7 }), 3), await retry(() => host.echo({ ok: true }), 3)];
