// expect: threw ToolError
const users = await host.echo({ ids: [1, 2] });
for (const id of users.ids) await host.fail({ id });
