// expect: threw NotCapable | threw TypeError
return await import(['file', '///etc/passwd'].join(':'))
