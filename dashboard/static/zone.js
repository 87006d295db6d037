// Tells the server the browser's time zone, so that pages can show times in it.
"use strict";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const cookie = `beckon_browser_zone=${encodeURIComponent(zone || "")}`;
if (zone && !document.cookie.split("; ").includes(cookie)) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${cookie}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}
