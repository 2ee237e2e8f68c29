// expect: limit cpu_ms | limit memory_bytes | threw
// limits: cpu_ms=300
return (10n ** (10n ** 8n)).toString().length
