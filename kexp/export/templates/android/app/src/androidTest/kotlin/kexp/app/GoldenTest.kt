package kexp.app

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** On a phone or an emulator, `gradle :app:connectedDebugAndroidTest`: the network answers as it did in Python. */
@RunWith(AndroidJUnit4::class)
class GoldenTest {
    private val assets = InstrumentationRegistry.getInstrumentation().targetContext.assets
    private val spec = Spec.parse(assets.open("kexp.json").use { it.reader().readText() })

    @Test
    fun networkAnswersAsInPython() {
        val golden = Golden.read(assets.open("golden.bin"))
        val gap = Network(assets).use { network -> golden.gap(spec, network::run) }
        assertTrue("largest difference $gap", gap <= Golden.LIMIT)
    }

    @Test
    fun anotherNetworkWouldBeNoticed() {
        val golden = Golden.read(assets.open("golden.bin"))
        val gap = Network(assets).use { network ->
            golden.gap(spec) { sample -> network.run(sample).also { it[0] = Float.NaN } }
        }
        assertTrue("largest difference $gap", gap > Golden.LIMIT)
    }
}
