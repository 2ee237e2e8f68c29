// expect: threw TypeError
return await import(['https', '//127.0.0.1/x.js'].join(':'))
