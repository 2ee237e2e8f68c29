// expect: threw NotCapable | threw PermissionDenied | threw TypeError | value 403
const answer = await fetch("http://LISTED/away/UNLISTED/");
return answer.status;
