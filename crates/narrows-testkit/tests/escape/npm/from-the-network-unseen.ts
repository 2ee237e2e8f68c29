// expect: value true
try { await import(['https', '//127.0.0.1/x.js'].join(':')) } catch (error) { return error.message.includes('--no-remote is specified') }
