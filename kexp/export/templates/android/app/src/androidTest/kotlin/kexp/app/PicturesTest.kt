package kexp.app

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import kotlin.math.abs
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** On a phone or an emulator: the golden pictures become the pixels that they became in Python. */
@RunWith(AndroidJUnit4::class)
class PicturesTest {
    private val assets = InstrumentationRegistry.getInstrumentation().targetContext.assets
    private val spec = Spec.parse(assets.open("kexp.json").use { it.reader().readText() })

    @Test
    fun goldenPicturesAreReadAsInPython() {
        val golden = Golden.read(assets.open("golden.bin"))
        val files = assets.list("golden")!!.sorted()
        assertEquals(golden.inputs.size, files.size)
        for ((name, expected) in files.zip(golden.inputs)) {
            val pixels = Pictures.decode(assets.open("golden/$name").use { it.readBytes() }, spec.shape)
            assertNotNull(name, pixels)
            val differences = pixels!!.floats().zip(expected) { found, wanted -> abs(found - wanted) }
            // Decoders of JPEG round differently; those of PNG do not.
            val limit = if (name.endsWith(".png")) 0.0 else 4.0
            assertTrue("$name: ${differences.average()} on average", differences.average() <= limit)
        }
    }
}
