package kexp.app

import java.time.LocalDate
import java.time.LocalDateTime
import java.time.LocalTime
import java.time.ZoneOffset
import java.time.format.DateTimeFormatter

/** What is unusual about a cell. */
enum class Oddity { UNKNOWN, UNREADABLE, OUTSIDE, MISSING }

/** Text becomes the numbers of the network's input, as in training: kexp/data/columns.py, by the same rules. */
object Cells {
    private val missing = setOf("", "na", "n/a", "nan", "null", "?")
    private val no = listOf("no", "false", "0", "n", "f")
    private val yes = listOf("yes", "true", "1", "y", "t")
    private val decimal = Regex("[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?")
    private val nan = Regex("[+-]?nan", RegexOption.IGNORE_CASE)
    // The same separator, or none, throughout: 2020-01-01 or 20200101, 10:30:15 or 103015.
    private val isoDate = Regex("([0-9]{4})(-?)([0-9]{2})\\2([0-9]{2})")
    private val isoWeek = Regex("([0-9]{4})(-?)W([0-9]{2})(?:\\2([1-7]))?")
    private val isoTime = Regex(
        "([0-9]{2})(?:(:?)([0-9]{2})(?:\\2([0-9]{2})(?:[.,]([0-9]*))?)?)?" +
            "(Z|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)?",
    )
    private val months = listOf(
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
        "december",
    )

    /** One number per column, NaN where there is no value; [odd] is told what is unusual about which column. */
    fun encode(row: Map<String, String>, columns: List<Column>, odd: (Column, Oddity) -> Unit = { _, _ -> }): FloatArray =
        FloatArray(columns.size) { index ->
            val column = columns[index]
            val word = row[column.name]?.trim()
            val value = if (word == null) Double.NaN else value(word, column)
            when {
                value == null -> odd(column, Oddity.UNREADABLE)
                value.isNaN() -> if (!column.missing) odd(column, Oddity.MISSING)
                column.kind == "category" -> if (value < 0) odd(column, Oddity.UNKNOWN)
                column.kind == "boolean" -> Unit
                value < column.minimum || value > column.maximum -> odd(column, Oddity.OUTSIDE)
            }
            (value ?: Double.NaN).toFloat()
        }

    /** The number for the text of one cell; NaN where there is none, null where it cannot be read. */
    fun value(word: String, column: Column): Double? = when {
        word.lowercase() in missing -> Double.NaN
        column.kind == "category" -> column.choices.indexOf(word).toDouble() // -1 for one that is not there
        column.kind == "boolean" -> boolean(word.lowercase(), column.choices)
        column.kind == "date" -> date(word, column.format)
        else -> number(word)
    }

    private fun number(word: String): Double? {
        val plain = latin(word)
        return when {
            nan.matches(plain) -> Double.NaN
            // Not everything that Kotlin reads: 1f and 0x1p3 are no numbers in a CSV.
            decimal.matches(plain) -> plain.toDouble().takeIf { Math.abs(it) <= Float.MAX_VALUE.toDouble() }
            else -> null
        }
    }

    /** Digits of any script as 0 to 9, which Python reads as well. */
    private fun latin(word: String): String =
        word.map { if (it.isDigit()) '0' + Character.digit(it, 10) else it }.joinToString("")

    private fun boolean(word: String, choices: List<String>): Double? {
        for ((meaning, words) in listOf(no, yes).withIndex()) {
            val choice = choices[meaning].lowercase()
            if (word == choice || (word in words && choice in words)) return meaning.toDouble()
        }
        return null
    }

    /** Days since 1970-01-01 (UTC), the time of day as a fraction; null where [word] is no date. */
    fun date(word: String, format: String): Double? = try {
        val moment = if (format.isEmpty()) iso(word) else formatted(word, format)
        moment?.let { (it.toEpochSecond(ZoneOffset.UTC) * 1_000_000 + it.nano / 1000) / 86_400_000_000.0 }
    } catch (_: java.time.DateTimeException) { // the 31st of February
        null
    }

    private fun iso(word: String): LocalDateTime? {
        val found = isoWeek.matchAt(word, 0) ?: isoDate.matchAt(word, 0) ?: return null
        val (year, _, first, second) = found.destructured // month and day, or week and weekday
        val day = if ('W' in found.value) {
            LocalDate.parse("$year-W$first-${second.ifEmpty { "1" }}", DateTimeFormatter.ISO_WEEK_DATE)
        } else {
            LocalDate.of(year.toInt(), first.toInt(), second.toInt())
        }
        val rest = word.substring(found.range.last + 1)
        if (rest.isEmpty()) return day.atStartOfDay()
        // Any one character stands between day and time.
        val time = isoTime.matchEntire(rest.substring(1)) ?: return null
        val (hour, _, minute, seconds, fraction, zone) = time.destructured
        val nano = (fraction + "000000").take(6).toInt() * 1000
        val local = LocalTime.of(hour.toInt(), minute.toIntOrZero(), seconds.toIntOrZero(), nano)
        val east = offset(zone)
        return if (Math.abs(east) < 86_400) LocalDateTime.of(day, local).minusSeconds(east) else null
    }

    /** Seconds east of Greenwich. Java's own ZoneOffset ends at 18 hours. */
    private fun offset(zone: String): Long {
        val (hours, minutes, seconds) = zone.filter { it.isDigit() }.padEnd(6, '0').chunked(2).map { it.toLong() }
        val total = hours * 3600 + minutes * 60 + seconds
        return if (zone.startsWith('-')) -total else total
    }

    private fun String.toIntOrZero(): Int = if (isEmpty()) 0 else toInt()

    /** A date in one of the formats that kexp looks for, as strptime reads it. */
    private fun formatted(word: String, format: String): LocalDateTime? {
        val names = mutableListOf<Char>()
        val pattern = StringBuilder()
        var index = 0
        while (index < format.length) {
            val letter = format[index++]
            if (letter == ' ') {
                pattern.append("\\s+")
            } else if (letter != '%') {
                pattern.append(Regex.escape(letter.toString()))
            } else {
                val directive = format[index++]
                names += directive
                pattern.append(directives.getValue(directive))
            }
        }
        val found = Regex(pattern.toString(), RegexOption.IGNORE_CASE).matchEntire(latin(word)) ?: return null
        val parts = names.zip(found.groupValues.drop(1)).toMap()
        val short = parts['y']?.toInt()
        val year = parts['Y']?.toInt() ?: short?.let { if (it < 69) 2000 + it else 1900 + it } ?: 1900
        val name = (parts['B'] ?: parts['b'])?.lowercase()
        val month = if (name != null) months.indexOfFirst { it.startsWith(name) } + 1 else parts['m']?.toInt() ?: 1
        val time = LocalTime.of(parts['H']?.toInt() ?: 0, parts['M']?.toInt() ?: 0, parts['S']?.toInt() ?: 0)
        return LocalDateTime.of(LocalDate.of(year, month, parts['d']?.trim()?.toInt() ?: 1), time)
    }

    private val directives = mapOf(
        'Y' to "([0-9]{4})",
        'y' to "([0-9]{2})",
        'm' to "(1[0-2]|0[1-9]|[1-9])",
        'd' to "(3[01]|[12][0-9]|0[1-9]|[1-9]| [1-9])",
        'H' to "(2[0-3]|[01][0-9]|[0-9])",
        'M' to "([0-5][0-9]|[0-9])",
        'S' to "([0-5][0-9]|[0-9])",
        'B' to months.joinToString("|", "(", ")"),
        'b' to months.joinToString("|", "(", ")") { it.take(3) },
    )
}
