"""The page that hands a phone the certificate of this computer's authority, and says what to tap, in two languages.

It comes over plain http, from the port that speaks https to whoever trusts the certificate. Somebody in the network
could change it on its way, its fingerprint included: so it sends people to what the phone itself shows of the
certificate, to compare that with the terminal. It looks by itself whether the phone trusts the certificate yet. The
secret part of the page's address comes in this one's fragment, which is never sent over plain http.
"""

from __future__ import annotations

CERTIFICATE = "kexp-ca.crt"

# Each step as the phones name it: Android 11 to 16 (the words differ a little between makers), iOS 15 to 26.
_TEXTS = {
    "en": {
        "dir": "ltr",
        "title": "Let this phone trust your computer",
        "why": "Browsers give the camera and offline use to trusted addresses alone. "
        "Once, this phone has to be told that your computer is one.",
        "get": "Download the certificate",
        "android": [
            "Tap <b>Download the certificate</b> above, and keep the file.",
            "Open <b>Settings</b> and search for <b>CA certificate</b> "
            "(Security → Encryption &amp; credentials → Install a certificate).",
            "Choose <b>CA certificate</b>, <b>Install anyway</b>, and the file <code>kexp-ca.crt</code>.",
            "Come back to this page.",
        ],
        "iphone": [
            "In <b>Safari</b>, tap <b>Download the certificate</b> above, then <b>Allow</b>.",
            "Open <b>Settings</b>, tap <b>Profile Downloaded</b>, then <b>Install</b>.",
            "Settings → General → About → <b>Certificate Trust Settings</b>: switch on the certificate that begins "
            "with <b>kexp CA</b>.",
            "Come back to this page.",
        ],
        "compare": "The terminal on your computer shows this fingerprint (SHA-256). So must the phone’s own details of "
        "the certificate, once it is installed. If they differ, remove it.",
        "waiting": "Not trusted yet.",
        "trusted": "This phone trusts your computer.",
        "go": "Open the page",
        "mean": "What this means, and how to undo it",
        "meaning": "Whoever holds the key, which is on your computer alone, could pose to this phone as a web site "
        "of a local network. For sites of the internet the certificate is not valid. To undo it: on Android "
        "Settings → Security → Encryption &amp; credentials → User credentials; on iPhone Settings → General → "
        "VPN &amp; Device Management. Remove the one that begins with kexp CA.",
    },
    "ar": {
        "dir": "rtl",
        "title": "اجعل هذا الهاتف يثق بحاسوبك",
        "why": "لا تسمح المتصفحات باستخدام الكاميرا والعمل دون اتصال إلا للعناوين الموثوقة. "
        "يكفي أن تجعل هذا الهاتف يثق بحاسوبك مرة واحدة.",
        "get": "تنزيل الشهادة",
        "android": [
            "اضغط <b>تنزيل الشهادة</b> أعلاه واحفظ الملف.",
            "افتح <b>الإعدادات</b> وابحث عن <b>شهادة CA</b> (الأمان ← التشفير وبيانات الاعتماد ← تثبيت شهادة).",
            "اختر <b>شهادة CA</b> ثم <b>التثبيت على أي حال</b> ثم الملف <code dir=ltr>kexp-ca.crt</code>.",
            "ارجع إلى هذه الصفحة.",
        ],
        "iphone": [
            "في <b>Safari</b> اضغط <b>تنزيل الشهادة</b> أعلاه ثم <b>السماح</b>.",
            "افتح <b>الإعدادات</b> واضغط <b>تم تنزيل ملف التعريف</b> ثم <b>تثبيت</b>.",
            "الإعدادات ← عام ← حول ← <b>إعدادات الثقة بالشهادات</b>: فعِّل الشهادة التي يبدأ اسمها بـ "
            "<b dir=ltr>kexp CA</b>.",
            "ارجع إلى هذه الصفحة.",
        ],
        "compare": "تظهر هذه البصمة (SHA-256) في الطرفية على حاسوبك، ويجب أن تظهر هي نفسها في تفاصيل الشهادة "
        "على الهاتف بعد تثبيتها. إن اختلفتا فاحذف الشهادة.",
        "waiting": "لا يثق هذا الهاتف بحاسوبك بعد.",
        "trusted": "هذا الهاتف يثق بحاسوبك.",
        "go": "افتح الصفحة",
        "mean": "ما معنى ذلك وكيف تلغيه",
        "meaning": "من يملك المفتاح، وهو على حاسوبك وحده، يستطيع أن يتظاهر أمام هذا الهاتف بأنه موقع في شبكة محلية. "
        "أما مواقع الإنترنت فالشهادة غير صالحة لها. للإلغاء في أندرويد: الإعدادات ← الأمان ← التشفير وبيانات "
        "الاعتماد ← بيانات اعتماد المستخدم، وفي آيفون: الإعدادات ← عام ← VPN وإدارة الجهاز. "
        "احذف الشهادة التي يبدأ اسمها بـ <span dir=ltr>kexp CA</span>.",
    },
}

_STYLE = """
:root { color-scheme: light dark; --ink: #14213d; --dim: #5b6475; --paper: #f7f8fa; --card: #fff; --line: #dfe3ea;
  --act: #2457d6; --good: #16794c }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf4; --dim: #9aa5b8; --paper: #10141c; --card: #19202c;
  --line: #2b3546; --act: #8ab0ff; --good: #6fd6a4 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 34rem; margin: 0 auto; padding: 1rem }
body[data-language=en] section[lang=ar], body[data-language=ar] section[lang=en] { display: none }
nav { display: flex; gap: .25rem; justify-content: flex-end }
nav button { border: 0; background: none; color: var(--dim); font: inherit; padding: .5rem .75rem; min-height: 44px }
nav button[aria-pressed=true] { color: var(--ink); font-weight: 600 }
h1 { font-size: 1.35rem; line-height: 1.3; margin: .25rem 0 .5rem }
p { margin: .5rem 0 }
.dim { color: var(--dim); font-size: .92rem }
a.act { display: block; text-align: center; padding: .8rem; border-radius: .75rem; background: var(--act);
  color: var(--card); text-decoration: none; font-weight: 600; margin: 1rem 0 }
details { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; margin: .5rem 0 }
summary { padding: .7rem 1rem; font-weight: 600; cursor: pointer }
details > :not(summary) { margin: 0; padding: 0 1rem .9rem }
ol { padding-inline-start: 2.2rem !important }
li { margin: .3rem 0 }
code { white-space: nowrap }
code, .fingerprint { font-family: ui-monospace, monospace; font-size: .9em }
.fingerprint { direction: ltr; text-align: left; unicode-bidi: isolate; background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem; padding: .6rem .8rem; overflow-wrap: anywhere;
  font-size: .8rem }
.state { font-weight: 600; color: var(--dim) }
[data-trusted] .state { color: var(--good) }
body:not([data-trusted]) .go { display: none }
[data-trusted] .get { background: none; color: var(--act); border: 1px solid var(--line) }
"""

# `no-cors`: whether the answer can be read does not matter, only whether the connection was trusted.
_SCRIPT = """
const target = `https://${location.host}/${location.hash.slice(1)}/`
const body = document.body
const say = language => {
  body.dataset.language = language
  document.documentElement.lang = language
  for (const button of document.querySelectorAll('nav button'))
    button.setAttribute('aria-pressed', String(button.lang === language))
}
for (const button of document.querySelectorAll('nav button')) button.onclick = () => say(button.lang)
say(navigator.language.startsWith('ar') ? 'ar' : 'en')
const apple = /iPhone|iPad|Macintosh/.test(navigator.userAgent)
for (const one of document.querySelectorAll('details[data-phone]'))
  one.open = (one.dataset.phone === 'iphone') === apple
const look = async () => {
  try { await fetch(target, { mode: 'no-cors', cache: 'no-store', credentials: 'omit' }) } catch { return }
  body.dataset.trusted = ''
  for (const state of document.querySelectorAll('.state')) state.textContent = state.dataset.trusted
  for (const link of document.querySelectorAll('.go')) link.href = target
  clearInterval(timer)
}
const timer = setInterval(() => document.hidden || look(), 3000)
document.addEventListener('visibilitychange', () => document.hidden || look())
look()
"""


def site(certificate: bytes, fingerprint: str) -> dict[str, bytes]:
    """What plain http serves: the page, and the authority's `certificate` with its SHA-256 `fingerprint`."""
    return {"index.html": _page(fingerprint), CERTIFICATE: certificate}


def _page(fingerprint: str) -> bytes:
    sections = "\n".join(_section(language, fingerprint) for language in _TEXTS)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kexp</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
<body>
<main>
<nav><button lang="en">English</button><button lang="ar">العربية</button></nav>
{sections}
</main>
<script>{_SCRIPT}</script>
</body>
</html>
""".encode()


def _section(language: str, fingerprint: str) -> str:
    text = {key: value for key, value in _TEXTS[language].items() if isinstance(value, str)}
    steps = {key: "".join(f"<li>{step}</li>" for step in _TEXTS[language][key]) for key in ("android", "iphone")}
    return f"""<section lang="{language}" dir="{text["dir"]}">
<h1>{text["title"]}</h1>
<p class="dim">{text["why"]}</p>
<p class="state" data-trusted="{text["trusted"]}" aria-live="polite">{text["waiting"]}</p>
<a class="act go" href="">{text["go"]}</a>
<a class="act get" href="{CERTIFICATE}">{text["get"]}</a>
<details data-phone="android" open><summary>Android</summary><ol>{steps["android"]}</ol></details>
<details data-phone="iphone" open><summary>iPhone, iPad</summary><ol>{steps["iphone"]}</ol></details>
<p class="dim">{text["compare"]}</p>
<p class="fingerprint">{fingerprint.replace(":", ":<wbr>")}</p>
<details><summary>{text["mean"]}</summary><p class="dim">{text["meaning"]}</p></details>
</section>"""
