// An invitation may come as a link whose fragment is the token: browsers do not send fragments to servers.
const token = decodeURIComponent(location.hash.slice(1));
if (token) {
  document.querySelector("#token").value = token;
  history.replaceState(null, "", location.pathname);
}
