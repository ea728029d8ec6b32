// What the page says, in English and Arabic, and numbers as the language writes them.
//
// Text that came with the data (labels, columns, the name) is not here: it is shown as it is, as text, never as HTML.

const WORDS = {
  en: {
    other: "العربية",
    otherLabel: "التبديل إلى العربية",
    otherLanguage: "ar",
    comma: ", ",
    input: "Input",
    skip: "Skip to the answer",
    taskBinary: "One of two classes",
    taskMulticlass: "One of {count} classes",
    taskMultilabel: "Any of {count} labels",
    taskRegression: "A number",
    taskForecast: "What comes next",
    kindImage: "from a picture",
    kindTable: "from a row of values",
    kindSeries: "from a series",
    kindSound: "from a sound",
    kindClip: "from a clip",
    starting: "Starting",
    startingLong: "Fetching the runtime, about 9 MB, once",
    failed: "The page could not start",
    again: "Try again",
    answer: "Answer",
    none: "none of the labels",
    below: "< {value}",
    speed: "{p50} a run, 95 % within {p95}",
    typical: "training mean {mean}",
    picture: "Picture",
    camera: "Camera",
    stop: "Freeze",
    turn: "Turn",
    turnLabel: "Switch between back and front camera",
    choose: "Choose",
    chooseLabel: "Choose a picture from this phone",
    photo: "Photo",
    photoLabel: "Take a photo",
    seen: "What the model sees",
    seenSize: "{width} × {height}",
    samples: "Samples",
    sample: "Sample {number}",
    sampleOf: "Sample {number} of {count}",
    previous: "Previous sample",
    next: "Next sample",
    noPicture: "This file is no picture that the browser can read.",
    noSample: "This sample cannot be fetched: {why}",
    noAnswer: "The model does not answer: {why}",
    noCamera: "The camera is not available: {why}",
    denied: "The camera is not allowed. Allow it in the settings of this site, then try again.",
    chooseSeriesLabel: "Choose a CSV from this phone",
    chooseSoundLabel: "Choose a sound from this phone",
    chooseClipLabel: "Choose a video from this phone",
    noSeries: "This file is no such series: {why}",
    seriesColumns: "it has {found} columns, the model takes {count}: {names}",
    seriesAbsent: "it has no column {absent}; the model takes {names}",
    seriesEmpty: "it has no rows of numbers",
    seriesTwice: "its first line names the column {name} twice",
    seriesWidth: "line {line} has {found} cells, the first has {count}",
    seriesCell: "line {line}: {cell} is no number",
    seriesDate: "line {line}: {cell} is no date, which the other rows have",
    seriesFew: "it has {found} rows, the model looks back on {count}",
    seriesGone: "the column {name} has no values",
    seriesCut: "{found} rows were cut around their middle: the model takes {count}.",
    seriesRepeated: "{found} rows were filled up with the last: the model takes {count}.",
    ownScales: "Each line has its own scale.",
    seriesOthers: "Each row is a series; the first of {count} is shown.",
    seriesFilled: "Missing values were filled in from their neighbours.",
    seriesCarried: "Missing values were taken from the row before.",
    noSound: "This file is no sound that the browser can read: {why}",
    noNumbers: "it holds values that are no numbers",
    noClip: "This file is no video that the browser can read: {why}",
    motion: "Sensors",
    noMotion: "The motion sensors are not available: {why}",
    noSensor: "this device tells of no motion",
    deniedMotion: "they are not allowed; allow them in the settings of this site, then try again",
    needsSecure: "a secure connection is needed",
    sensors: "Which sensor is which channel",
    window: "The model looks at the last {seconds} seconds.",
    gravity: "Acceleration with gravity",
    linear: "Acceleration without gravity",
    rotation: "Rotation",
    gravityShort: "Acceleration",
    linearShort: "Without gravity",
    rotationShort: "Rotation",
    rate: "Values a second",
    downwards: "Gravity points down, as on iPhones",
    microphone: "Listen",
    noMicrophone: "The microphone is not available: {why}",
    deniedMicrophone: "The microphone is not allowed. Allow it in the settings of this site, then try again.",
    play: "Play",
    record: "Record",
    live: "Live",
    halt: "Stop",
    noAnimation: "this browser reads no animations; a video works",
    noFrames: "its frames cannot be read. Most browsers play mp4 and webm, few avi",
    framesOf: "What the model sees: {count} frames of {width} × {height}",
    liveMicrophone: "Microphone",
    liveMotion: "Motion sensors",
    insecureClip: "The camera and use without network need a secure connection. Video files work as it is. Three ways:",
    insecureSound: "The microphone and use without network need a secure connection. Sound files work as it is. Three ways:",
    insecureSeries: "Motion sensors and use without network need a secure connection. CSV files work as it is. Three ways:",
    values: "Values",
    unknown: "unknown",
    otherChoice: "another value",
    between: "{low} to {high} in training",
    sliderOf: "{name}, slider",
    empty: "No value, and every training row had one.",
    outside: "Outside {low} to {high}, where the model has seen data: a guess.",
    unseen: "Not seen in training.",
    unreadable: "Not readable here, taken as unknown.",
    model: "Model",
    variants: "Variant",
    float32: "full precision",
    float16: "half precision",
    dynamic: "8-bit weights",
    int8: "8-bit, smallest and often fastest",
    int16x8: "16-bit values, 8-bit weights",
    notOpened: "This variant cannot be used, the one before stays: {why}",
    changed: "the file is not that of this export; open the page again",
    quality: "Quality",
    qualityOf: "{metric} {value}, {low} to {high} (95 %), on {rows} test rows",
    accuracy: "accuracy",
    balanced_accuracy: "balanced accuracy",
    f1: "F1",
    auc: "area under the ROC curve",
    log_loss: "log loss",
    rmse: "root mean squared error",
    mae: "mean absolute error",
    notEvaluated: "not measured on test rows",
    file: "File",
    made: "Made",
    runtime: "Runtime",
    check: "Check",
    checkWaiting: "Known samples will be replayed here in a moment.",
    checkRunning: "Replaying known samples … {done} of {count}",
    checkPassed: "This phone answers as the computer did",
    checkFailed: "This phone does not answer as the computer did",
    checkError: "The check could not run: {why}",
    largest: "Largest difference {value}, allowed {limit}",
    checkAgain: "Check again",
    checkDetails: "Every variant",
    columnFile: "Variant",
    columnGap: "Same input",
    columnRaw: "Raw samples",
    columnTime: "Time",
    sending: "Sending to the computer …",
    sent: "Sent to the computer.",
    notSent: "Not sent, the computer does not answer.",
    refused: "Not taken by the computer: {why}",
    device: "This phone",
    secure: "Secure connection",
    liveCamera: "Live camera",
    offline: "Without network",
    yes: "yes",
    no: "no",
    ready: "ready: the page opens without network too",
    preparing: "being kept on this phone …",
    notKept: "not kept: {why}",
    insecureTable: "Use without network needs a secure connection. Three ways:",
    insecure: "Live camera and use without network need a secure connection. Photos work as it is. Three ways:",
    wayHttps: "on the computer, with a certificate that this phone installs once",
    wayAdb: "with a USB cable: the phone sees the page as its own",
    wayExport: "then put the folder phone on any https host",
    newer: "A newer export is there.",
    take: "Use it",
    private: "What you give the model stays on this phone.",
    shared: "The {count} samples are from the data: whoever opens this page gets them too.",
  },
  ar: {
    other: "English",
    otherLabel: "Switch to English",
    otherLanguage: "en",
    comma: "، ",
    input: "المُدخل",
    skip: "انتقل إلى النتيجة",
    taskBinary: "صنف واحد من اثنين",
    taskMulticlass: "صنف واحد من {count}",
    taskMultilabel: "وسم أو أكثر من أصل {count}",
    taskRegression: "عدد",
    taskForecast: "ما سيأتي",
    kindImage: "من صورة",
    kindTable: "من صف قيم",
    kindSeries: "من سلسلة قياسات",
    kindSound: "من صوت",
    kindClip: "من مقطع فيديو",
    starting: "جارٍ البدء",
    startingLong: "جارٍ جلب المحرّك، نحو 9 ميغابايت، لمرة واحدة",
    failed: "تعذّر بدء الصفحة",
    again: "أعد المحاولة",
    answer: "النتيجة",
    none: "لا ينطبق أي وسم",
    below: "أقل من {value}",
    speed: "{p50} لكل تشغيل، و95٪ منها خلال {p95}",
    typical: "متوسط قيم التدريب {mean}",
    picture: "الصورة",
    camera: "الكاميرا",
    stop: "تجميد",
    turn: "تبديل",
    turnLabel: "التبديل بين الكاميرا الخلفية والأمامية",
    choose: "اختيار",
    chooseLabel: "اختيار صورة من هذا الهاتف",
    photo: "تصوير",
    photoLabel: "تصوير صورة جديدة",
    seen: "ما يراه النموذج",
    seenSize: "{width} × {height}",
    samples: "أمثلة",
    sample: "المثال {number}",
    sampleOf: "المثال {number} من {count}",
    previous: "المثال السابق",
    next: "المثال التالي",
    noPicture: "هذا الملف ليس صورة يستطيع المتصفح قراءتها.",
    noSample: "تعذّر جلب هذا المثال: {why}",
    noAnswer: "لا يجيب النموذج: {why}",
    noCamera: "الكاميرا غير متاحة: {why}",
    denied: "الكاميرا غير مسموح بها. اسمح بها في إعدادات هذا الموقع ثم أعد المحاولة.",
    chooseSeriesLabel: "اختيار ملف CSV من هذا الهاتف",
    chooseSoundLabel: "اختيار صوت من هذا الهاتف",
    chooseClipLabel: "اختيار فيديو من هذا الهاتف",
    noSeries: "هذا الملف ليس سلسلة من هذا النوع: {why}",
    seriesColumns: "عدد أعمدته {found}، ويأخذ النموذج {count}: {names}",
    seriesAbsent: "ليس فيه العمود {absent}، ويأخذ النموذج {names}",
    seriesEmpty: "لا صفوف أعداد فيه",
    seriesTwice: "يتكرر اسم العمود {name} في سطره الأول",
    seriesWidth: "عدد خانات السطر {line} هو {found}، وعددها في السطر الأول {count}",
    seriesCell: "السطر {line}: {cell} ليس عددًا",
    seriesDate: "السطر {line}: {cell} ليس تاريخًا، وفي بقية الصفوف تواريخ",
    seriesFew: "عدد صفوفه {found}، وينظر النموذج إلى آخر {count}",
    seriesGone: "لا قيم في العمود {name}",
    seriesCut: "عدد الصفوف {found}، وأُخذ منها أوسطها: يأخذ النموذج {count}.",
    seriesRepeated: "عدد الصفوف {found}، وكُرّر آخرها: يأخذ النموذج {count}.",
    ownScales: "لكل خط مقياسه.",
    seriesOthers: "كل صف سلسلة، والمعروضة أولاها من أصل {count}.",
    seriesFilled: "أُكملت القيم الناقصة مما يجاورها.",
    seriesCarried: "أُخذت القيم الناقصة من الصف السابق.",
    noSound: "هذا الملف ليس صوتًا يستطيع المتصفح قراءته: {why}",
    noNumbers: "فيه قيم ليست أعدادًا",
    noClip: "هذا الملف ليس فيديو يستطيع المتصفح قراءته: {why}",
    motion: "المستشعرات",
    noMotion: "مستشعرات الحركة غير متاحة: {why}",
    noSensor: "لا يُبلغ هذا الجهاز عن أي حركة",
    deniedMotion: "غير مسموح بها؛ اسمح بها في إعدادات هذا الموقع ثم أعد المحاولة",
    needsSecure: "يلزم اتصال آمن",
    sensors: "أي مستشعر لأي قناة",
    window: "ينظر النموذج إلى آخر {seconds} ثانية.",
    gravity: "التسارع مع الجاذبية",
    linear: "التسارع من دون الجاذبية",
    rotation: "الدوران",
    gravityShort: "التسارع",
    linearShort: "من دون الجاذبية",
    rotationShort: "الدوران",
    rate: "عدد القيم في الثانية",
    downwards: "الجاذبية موجّهة إلى الأسفل، كما في iPhone",
    microphone: "استماع",
    noMicrophone: "الميكروفون غير متاح: {why}",
    deniedMicrophone: "الميكروفون غير مسموح به. اسمح به في إعدادات هذا الموقع ثم أعد المحاولة.",
    play: "تشغيل",
    record: "تسجيل",
    live: "مباشر",
    halt: "إيقاف",
    noAnimation: "لا يقرأ هذا المتصفح الصور المتحركة، ويعمل الفيديو",
    noFrames: "تتعذّر قراءة إطاراته. تشغّل معظم المتصفحات mp4 وwebm، وقليل منها avi",
    framesOf: "ما يراه النموذج: {count} إطارًا بحجم {width} × {height}",
    liveMicrophone: "الميكروفون",
    liveMotion: "مستشعرات الحركة",
    insecureClip: "تحتاج الكاميرا والعمل بلا شبكة إلى اتصال آمن، أما ملفات الفيديو فتعمل من دونه. ثلاث طرق:",
    insecureSound: "يحتاج الميكروفون والعمل بلا شبكة إلى اتصال آمن، أما ملفات الصوت فتعمل من دونه. ثلاث طرق:",
    insecureSeries: "تحتاج مستشعرات الحركة والعمل بلا شبكة إلى اتصال آمن، أما ملفات CSV فتعمل من دونه. ثلاث طرق:",
    values: "القيم",
    unknown: "غير معروف",
    otherChoice: "قيمة أخرى",
    between: "من {low} إلى {high} في التدريب",
    sliderOf: "{name}، شريط تمرير",
    empty: "لا توجد قيمة هنا، وقد كان لكل صف في التدريب قيمة.",
    outside: "خارج المدى من {low} إلى {high} الذي تدرّب عليه النموذج: النتيجة تخمين.",
    unseen: "لم تظهر في التدريب.",
    unreadable: "تتعذّر قراءة هذه القيمة، وتُعدّ غير معروفة.",
    model: "النموذج",
    variants: "النسخة",
    float32: "دقة كاملة",
    float16: "نصف الدقة",
    dynamic: "أوزان 8 بت",
    int8: "8 بت، الأصغر وغالبًا الأسرع",
    int16x8: "قيم 16 بت وأوزان 8 بت",
    notOpened: "تعذّر استخدام هذه النسخة، وتبقى السابقة: {why}",
    changed: "الملف ليس من هذا التصدير؛ افتح الصفحة من جديد",
    quality: "الجودة",
    qualityOf: "{metric} {value}، بين {low} و{high} (95٪)، عدد صفوف الاختبار {rows}",
    accuracy: "نسبة الصواب",
    balanced_accuracy: "نسبة الصواب المتوازنة",
    f1: "مقياس F1",
    auc: "المساحة تحت منحنى ROC",
    log_loss: "الخسارة اللوغاريتمية",
    rmse: "جذر متوسط مربع الخطأ",
    mae: "متوسط الخطأ المطلق",
    notEvaluated: "لم تُقَس على صفوف الاختبار",
    file: "الملف",
    made: "أُنشئ",
    runtime: "المحرّك",
    check: "الفحص",
    checkWaiting: "سيُعاد تشغيل أمثلة معروفة هنا بعد لحظات.",
    checkRunning: "جارٍ إعادة تشغيل أمثلة معروفة … {done} من {count}",
    checkPassed: "يجيب هذا الهاتف كما أجاب الحاسوب",
    checkFailed: "لا يجيب هذا الهاتف كما أجاب الحاسوب",
    checkError: "تعذّر إجراء الفحص: {why}",
    largest: "أكبر فرق {value}، والمسموح {limit}",
    checkAgain: "أعد الفحص",
    checkDetails: "كل النسخ",
    columnFile: "النسخة",
    columnGap: "المدخل نفسه",
    columnRaw: "أمثلة خام",
    columnTime: "الزمن",
    sending: "جارٍ الإرسال إلى الحاسوب …",
    sent: "أُرسلت النتائج إلى الحاسوب.",
    notSent: "لم تُرسل النتائج: الحاسوب لا يجيب.",
    refused: "لم يقبل الحاسوب النتائج: {why}",
    device: "هذا الهاتف",
    secure: "اتصال آمن",
    liveCamera: "كاميرا مباشرة",
    offline: "بلا شبكة",
    yes: "نعم",
    no: "لا",
    ready: "جاهز: تعمل الصفحة بلا شبكة أيضًا",
    preparing: "جارٍ حفظ الصفحة على هذا الهاتف …",
    notKept: "لم تُحفظ الصفحة: {why}",
    insecureTable: "يحتاج العمل بلا شبكة إلى اتصال آمن. ثلاث طرق:",
    insecure: "تحتاج الكاميرا المباشرة والعمل بلا شبكة إلى اتصال آمن، أما الصور فتعمل من دونه. ثلاث طرق:",
    wayHttps: "على الحاسوب، بشهادة تُثبَّت على هذا الهاتف مرة واحدة",
    wayAdb: "بكابل USB: يرى الهاتف الصفحة كأنها على الهاتف نفسه",
    wayExport: "ثم ضع المجلد phone على أي استضافة https",
    newer: "يوجد تصدير أحدث.",
    take: "استخدمه",
    private: "يبقى ما تعطيه للنموذج على هذا الهاتف.",
    shared: "الأمثلة هنا ({count}) من البيانات نفسها: يحصل عليها كل من يفتح هذه الصفحة.",
  },
};

const STORED = "kexp language";
let language = "en";
let locale = "en";
const listeners = [];

/** The language chosen before, else the phone's. */
export function begin() {
  let chosen = null;
  try {
    chosen = localStorage.getItem(STORED);
  } catch {
    // storage is refused in some private windows: the phone's language it is
  }
  const first = navigator.languages.find((each) => each.slice(0, 2) in WORDS);
  set(chosen in WORDS ? chosen : (first ?? "en").slice(0, 2));
}

export function change() {
  set(language === "en" ? "ar" : "en");
  try {
    localStorage.setItem(STORED, language);
  } catch {
    // as above: the choice holds until the page is closed
  }
}

function set(chosen) {
  language = chosen;
  // The phone's own region decides which digits Arabic is written with.
  locale = navigator.languages.find((each) => each.slice(0, 2) === chosen) ?? chosen;
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
  for (const listener of listeners) listener();
}

/** Call `listener` now and whenever the language changes. */
export function onLanguage(listener) {
  listeners.push(listener);
  listener();
}

/** A phrase, with {name}s filled in; in Arabic each keeps its own direction and does not disturb what is around it. */
export function t(key, values = {}) {
  const put = language === "ar" ? (value) => `\u2068${value}\u2069` : (value) => value;
  return WORDS[language][key].replace(/\{(\w+)\}|\d/g, (found, name) => (name ? put(values[name]) : whole(found)));
}

export const has = (key) => key in WORDS[language];

const formatter = (options) => new Intl.NumberFormat(locale, options);

export const percent = (share) =>
  formatter({ style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(share);

export const number = (value, digits = 4) => formatter({ maximumSignificantDigits: digits }).format(value);

export const whole = (value) => formatter({ maximumFractionDigits: 0 }).format(value);

/** Differences are far below one: 1.2e-7 says more than 0. */
export function small(value) {
  if (typeof value !== "number") return value;
  const plain = formatter({ maximumSignificantDigits: 2 });
  if (value === 0 || value >= 0.001) return plain.format(value);
  const exponent = Math.floor(Math.log10(value));
  const raised = [...String(-exponent)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
  return `\u2066${plain.format(value / 10 ** exponent)} × ${plain.format(10)}⁻${raised}\u2069`; // left to right, always
}

const SHORTEST = 0.01; // milliseconds: less would be written as 0.00

export function milliseconds(value) {
  if (value < SHORTEST) return t("below", { value: milliseconds(value === 0 ? 0.1 : SHORTEST) }); // 0: a step of the clock
  const digits = value < 1 ? 2 : value < 100 ? 1 : 0;
  const options = { style: "unit", unit: "millisecond", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return formatter(options).format(value);
}

export function bytes(count) {
  const unit = count < 1e6 ? "kilobyte" : "megabyte";
  const value = count < 1e6 ? count / 1e3 : count / 1e6;
  return formatter({ style: "unit", unit, maximumFractionDigits: 1 }).format(value);
}

// Gregorian, as a date field of the browser is: in Saudi Arabia it would be another calendar.
const dates = (options) => new Intl.DateTimeFormat(locale, { dateStyle: "medium", calendar: "gregory", ...options });

export const day = (moment) => dates({}).format(moment);

/** The day that a date column's number means: days since 1970-01-01 (UTC). */
export const dayNumber = (days) => dates({ timeZone: "UTC" }).format(days * 86_400_000);
