// expect: limit stack | threw
return JSON.parse('['.repeat(1e6))
