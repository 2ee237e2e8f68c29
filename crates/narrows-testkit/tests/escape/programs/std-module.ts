// expect: rejected | threw
return (globalThis as any).std.open('/etc/passwd', 'r')
