// expect: value | threw
return { a: '\ud800' }
