package kexp.app

/** Comma separated values (RFC 4180), as kexp writes its golden rows. */
object Csv {
    /** The rows by the names in the first line. */
    fun read(text: String): List<Map<String, String>> {
        val records = records(text)
        return records.drop(1).map { record -> records.first().zip(record).toMap() }
    }

    private fun records(text: String): List<List<String>> {
        val records = mutableListOf<MutableList<String>>()
        var record = mutableListOf<String>()
        val cell = StringBuilder()
        var quoted = false
        var index = 0
        fun endCell() {
            record += cell.toString()
            cell.clear()
        }
        while (index < text.length) {
            val letter = text[index++]
            when {
                quoted && letter == '"' && text.getOrNull(index) == '"' -> {
                    cell.append('"')
                    index++
                }
                letter == '"' -> quoted = !quoted
                quoted -> cell.append(letter)
                letter == ',' -> endCell()
                letter == '\n' -> {
                    endCell()
                    records += record
                    record = mutableListOf()
                }
                letter != '\r' -> cell.append(letter)
            }
        }
        if (cell.isNotEmpty() || record.isNotEmpty()) {
            endCell()
            records += record
        }
        return records
    }
}
