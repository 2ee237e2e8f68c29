// expect: value {"host":"example.com","query":{"x":"1","y":"two words","z":"é"},"href":"https://example.com/a/b?x=1&y=two+words&z=%C3%A9#frag","base64":"aMOpbGxv","back":"héllo","bytes":[104,195,169,108,108,111]}
const url = new URL("https://example.com/a/b?x=1&y=two%20words#frag");
url.searchParams.append("z", "\u00e9");
const bytes = new TextEncoder().encode("h\u00e9llo");
return {
  host: url.host, query: Object.fromEntries(url.searchParams), href: url.href,
  base64: btoa(String.fromCharCode(...bytes)), back: new TextDecoder().decode(bytes), bytes,
};
