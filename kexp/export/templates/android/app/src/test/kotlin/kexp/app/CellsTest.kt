package kexp.app

import java.io.File
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test

/** On a computer, `gradle :app:testDebugUnitTest`: text becomes the numbers that it became in training. */
class CellsTest {
    private val assets = File("src/main/assets")
    private val spec = Spec.parse(File(assets, "kexp.json").readText())

    @Test
    fun goldenRowsAreEncodedAsInPython() {
        val golden = Golden.read(File(assets, "golden.bin").inputStream())
        val rows = Csv.read(File(assets, "golden/rows.csv").readText())
        assertEquals(golden.inputs.size, rows.size)
        for ((row, expected) in rows.zip(golden.inputs)) {
            assertArrayEquals(expected, Cells.encode(row, spec.columns), 0f) // NaN equals NaN here
        }
    }

    @Test
    fun cellsAreReadAsInPython() {
        val number = Column("x", "number", listOf(), 0.0, 1.0, false, "")
        assertEquals(-1500.0, Cells.value("-1.5e3", number)!!, 0.0)
        assertEquals(true, Cells.value("N/A", number)!!.isNaN())
        for (word in listOf("1_000", "0x10", "1f", "twelve", "1e39", "inf")) assertNull(word, Cells.value(word, number))
        val boolean = Column("x", "boolean", listOf("no", "yes"), 0.0, 1.0, false, "")
        assertEquals(1.0, Cells.value("TRUE", boolean)!!, 0.0)
        assertNull(Cells.value("perhaps", boolean))
        val category = Column("x", "category", listOf("Bonn", "Köln"), 0.0, 0.0, false, "")
        assertEquals(1.0, Cells.value("Köln", category)!!, 0.0)
        assertEquals(-1.0, Cells.value("köln", category)!!, 0.0)
        assertEquals(11016.5, Cells.date("2000-02-29T12:00", "")!!, 0.0)
        assertEquals(11016.0, Cells.date("29.2.2000", "%d.%m.%Y")!!, 0.0)
        assertNull(Cells.date("2001-02-29", ""))
    }
}
