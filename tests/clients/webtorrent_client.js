// Downloads with webtorrent, and ends when all is there: webtorrent_client.js TORRENT|URL|MAGNET FOLDER
// Without web seeds: it does not escape the names of files in their URLs, and fails with some.
const WebTorrent = require("webtorrent");

const [source, folder] = process.argv.slice(2);
const client = new WebTorrent({ dht: false, lsd: false, utPex: false, webSeeds: false });
client.on("error", (error) => {
  throw error;
});
client.add(source, { path: folder }, (torrent) => {
  torrent.on("warning", console.log);
  torrent.on("done", () => client.destroy(() => process.exit()));
});
