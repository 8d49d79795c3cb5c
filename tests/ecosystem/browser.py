"""The page of --plot in a real browser: Chromium, without a screen and without network, at a phone's and a desk's width."""
import json, re, shutil, subprocess

WIDTHS, HEIGHT = (390, 1100), 4200
# The page in a frame of exactly that width, and in its title what it came to.
FRAME = """<!doctype html><title>waiting</title><style>body {{ margin: 0 }} iframe {{ border: 0; width: {width}px; height: {height}px }}</style>
<iframe src="{page}"></iframe><script>
addEventListener("load", () => {{
  const inside = document.querySelector("iframe").contentWindow, root = inside.document.documentElement;
  const images = [...inside.document.querySelectorAll("img, object, embed")];
  document.title = JSON.stringify({{width: root.scrollWidth, height: root.scrollHeight, images: images.length,
    broken: images.filter(x => x.tagName != "IMG" || !x.complete || x.naturalWidth == 0).map(x => (x.src || x.data).slice(0, 60)),
    urls: inside.performance.getEntriesByType("resource").map(x => x.name.slice(0, 60))}});
}});</script>"""


def chromium():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def browse(program, url, width, *more):
    return subprocess.run([program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND",
                           "--virtual-time-budget=20000", f"--window-size={width},{HEIGHT}", *more, url], capture_output=True, text=True, timeout=300)


def look(program, page, width, dark):
    """What the browser says of a page at that width; its picture lies beside the page's directory."""
    name = f"{page.parent.name}-{width}{'-dark' if dark else ''}"
    frame = page.parent.parent / f"{name}.html"
    frame.write_text(FRAME.format(page=f"{page.parent.name}/{page.name}", width=width, height=HEIGHT))
    colours = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    picture = frame.with_suffix(".png")
    picture.unlink(missing_ok=True)
    browse(program, frame.as_uri(), width, f"--screenshot={picture}", *colours)
    done = browse(program, frame.as_uri(), width, "--dump-dom", *colours)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    if not title or not title.group(1).startswith("{"):
        raise RuntimeError(f"chromium said nothing of {page}: {done.stderr.strip()[-300:]}")
    return json.loads(title.group(1).replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")), picture


def complaints(seen, width, picture):
    bad = [f"is {seen['width']} px wide"] if seen["width"] > width else []
    bad += [f"does not show {picture}" for picture in seen["broken"]]
    bad += [f"asks for {url}" for url in seen["urls"] if not url.startswith(("file:", "data:"))]
    bad += ["has no pictures"] if seen["images"] == 0 else []
    return bad + ([] if picture.exists() and picture.stat().st_size > 10000 else ["no screenshot"])


def check(count, page):
    """Counts a line for each width and colour scheme: nothing leaves the page at the side, all pictures load, nothing comes from elsewhere."""
    program = chromium()
    if not program:
        return count.say(False, "the page of --plot: no chromium")
    for width, dark in ((WIDTHS[0], False), (WIDTHS[1], False), (WIDTHS[0], True)):
        what = f"the page of --plot, {width} px{', dark' if dark else ''}, in Chromium"
        try:
            seen, picture = look(program, page, width, dark)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            count.say(False, f"{what}: {error}")
            continue
        bad = complaints(seen, width, picture)
        count.say(not bad, f"{what}: {seen['images']} pictures, {seen['width']} x {seen['height']} px, {picture.name}" + "".join(f"; {b}" for b in bad))
