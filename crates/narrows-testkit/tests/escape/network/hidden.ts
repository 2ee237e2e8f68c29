// expect: rejected
return Deno.connect({ hostname: "127.0.0.1", port: 3128 });
