// expect: value | threw
(Object.prototype as any).toJSON = () => "owned"; (Array.prototype as any).then = 1
return 1
