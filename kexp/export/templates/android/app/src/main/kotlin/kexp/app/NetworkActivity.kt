package kexp.app

import android.widget.Button
import android.widget.TextView
import androidx.activity.ComponentActivity
import java.text.NumberFormat
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors

/** What both kinds of screen share: the network, the thread that it runs in, and how an answer is shown. */
abstract class NetworkActivity : ComponentActivity() {
    protected val background: ExecutorService = Executors.newSingleThreadExecutor()
    protected val spec: Spec by lazy { Spec.parse(assets.open("kexp.json").use { it.reader().readText() }) }
    private val opened = lazy { Network(assets) }
    protected val network: Network by opened // opened in the background by its first use

    /** Call this once the layout is set. */
    protected fun ready() {
        findViewById<Button>(R.id.self_test).setOnClickListener { selfTest() }
    }

    protected fun show(text: String) {
        findViewById<TextView>(R.id.answer).text = text
    }

    /** Work that takes a moment; what goes wrong in it is shown. */
    protected fun inBackground(work: () -> Unit) {
        background.execute {
            try {
                work()
            } catch (error: Exception) { // a phone may refuse a model or run out of memory: say so, do not vanish
                runOnUiThread { show(getString(R.string.failed, error.message ?: error.javaClass.simpleName)) }
            }
        }
    }

    /** The answer, then every label or target with its number, in the digits of the user's language. */
    protected fun describe(outputs: FloatArray): String {
        val numbers = if (spec.task == "regression") NumberFormat.getInstance() else NumberFormat.getPercentInstance()
        numbers.maximumFractionDigits = if (spec.task == "regression") 3 else 1
        val lines = Answers.ranked(outputs, spec).take(SHOWN).map { (name, value) -> "$name: ${numbers.format(value)}" }
        val label = Answers.label(outputs, spec).ifEmpty { getString(R.string.nothing_found) }
        return (if (spec.task == "regression") lines else listOf(label) + lines).joinToString("\n")
    }

    private fun selfTest() = inBackground {
        val golden = Golden.read(assets.open("golden.bin"))
        val gap = golden.gap(spec, network::run)
        val verdict = if (gap <= Golden.LIMIT) R.string.self_test_passed else R.string.self_test_failed
        runOnUiThread { show(getString(verdict, golden.inputs.size, gap.toString())) }
    }

    override fun onDestroy() {
        super.onDestroy()
        background.execute { if (opened.isInitialized()) network.close() }
        background.shutdown()
    }

    private companion object {
        const val SHOWN = 5
    }
}
